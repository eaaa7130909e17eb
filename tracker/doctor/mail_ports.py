"""Whether the mail ports answer, mail from outside finds the way, and their certificate is good."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import aiosmtplib

from tracker.doctor.findings import About, Finding, Visit
from tracker.doctor.web import judge_certificate
from tracker.exchangers import NoExchangerError, mail_exchangers
from tracker.mail.addresses import capture_domain
from tracker.sending.clients import submission_server
from tracker.sending.credentials import Server
from tracker.settings import Settings

SECONDS = 10.0
MAIL_PORT = 25
MOST_EXCHANGERS = 5


class SilentPortError(Exception):
    """Nothing that speaks SMTP answers there; the text says why."""


@dataclass(frozen=True)
class Greeting:
    """What a server showed of itself."""

    certificate: dict[str, object] | None = None


def inside(settings: Settings) -> str:
    """Where this machine's own listeners are reached from itself."""
    host = settings.listen_host
    return "127.0.0.1" if host in ("0.0.0.0", "::", "localhost") else host  # noqa: S104, compared, not bound


async def greet(server: Server, *, trusted: bool = False) -> Greeting:
    """Says hello, over TLS where the server has it. `trusted`: this machine's own, whatever it shows.

    Raises SilentPortError, and ssl.SSLCertVerificationError where its certificate is not valid.
    """
    context = ssl.create_default_context()
    if trusted:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = aiosmtplib.SMTP(
        hostname=server.host, port=server.port, timeout=SECONDS, use_tls=server.security == "tls",
        start_tls=False, tls_context=context, local_hostname="doctor.invalid",
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            await client.connect()
            await client.ehlo()
            if server.security == "starttls":
                await client.starttls()
            found = client.transport.get_extra_info("peercert") if client.transport else None
            await client.quit()
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise cause from None
            cause = cause.__cause__ or cause.__context__
        raise SilentPortError(type(error).__name__) from None
    finally:
        client.close()
    return Greeting(found or None)


async def find_capture(settings: Settings) -> Server | None:
    """Where the capture server answers: on this machine, else where mail from outside goes to."""
    domain = capture_domain(settings)
    if settings.capture_port is None or domain is None:
        return None
    places = [Server(inside(settings), settings.capture_port, "none")]
    if is_divided(settings):
        with suppress(NoExchangerError):
            names = await mail_exchangers(domain)
            places += [Server(name, MAIL_PORT, "none") for name in names[:MOST_EXCHANGERS]]
    for place in places:
        with suppress(SilentPortError):
            await greet(place)
            return place
    return None


def is_divided(settings: Settings) -> bool:
    """Whether roles may run on other machines; with SQLite one process does all."""
    return not settings.database.is_sqlite


async def check_capture(visit: Visit) -> Sequence[Finding]:
    """The capture server listens."""
    settings = visit.services.settings
    about = About("capture-port", "Capture port")
    if settings.capture_port is None:
        return [about.note("CAPTURE_PORT is empty: no mail comes in")]
    found = await find_capture(settings)
    if found is not None:
        return [about.ok(f"{found.host}:{found.port} answers")]
    said = f"nothing answers at port {settings.capture_port} of this machine"
    if is_divided(settings):
        return [about.note(said, "If no other machine runs the smtp role, start it here.")]
    return [about.wrong(said, "Is mailbell running?")]


async def check_exchangers(visit: Visit) -> Sequence[Finding]:
    """Mail to the capture addresses finds the way here."""
    domain = capture_domain(visit.services.settings)
    about = About("mx", "MX of CAPTURE_DOMAIN")
    if domain is None:
        return []
    if visit.services.settings.is_trial:
        return [about.note("a trial: only programs on this machine reach the capture address")]
    try:
        names = await mail_exchangers(domain)
    except NoExchangerError as error:
        return [
            about.wrong(str(error), f"Add an MX record for {domain} that names the host of this mailbell.")
        ]
    for name in names[:MOST_EXCHANGERS]:
        try:
            await greet(Server(name, MAIL_PORT, "none"))
        except SilentPortError:
            continue
        return [about.ok(f"{name} takes mail for {domain}")]
    return [
        about.wrong(
            f"{names[0]} is named for {domain}, and does not answer at port 25 from here",
            f"Forward port 25 there to CAPTURE_PORT ({visit.services.settings.capture_port}). Many hosting "
            "companies block port 25 on the way out: then this line means nothing.",
        )
    ]


async def check_submission(visit: Visit) -> Sequence[Finding]:
    """The outgoing server answers as mail programs reach it, with a certificate that they take."""
    settings = visit.services.settings
    server = submission_server(settings)
    about = About("submission", "Outgoing server")
    if server is None:
        return [about.note("it is off: no port, or no TLS_CERT and TLS_KEY", _OFF)]
    try:
        seen = await greet(server, trusted=settings.is_trial)
    except ssl.SSLCertVerificationError as error:
        return [
            about.wrong(
                f"{server.host} shows a certificate that mail programs refuse: {error.verify_message}",
                "Put a certificate for this very name into TLS_CERT and TLS_KEY, with the chain.",
            )
        ]
    except SilentPortError:
        return [
            about.wrong(
                f"{server.host}:{server.port} does not answer from here",
                f"Is the smtp role running, and is port {server.port} forwarded to SUBMISSION_PORT "
                f"({settings.submission_port})?",
            )
        ]
    if settings.is_trial:
        return [about.ok(f"port {server.port} answers, with a certificate of its own: fine in a trial")]
    if seen.certificate is None:
        return [about.ok(f"{server.host}:{server.port} answers")]
    return [judge_certificate(about, seen.certificate, visit.services.now())]


async def find_submission(settings: Settings) -> Server | None:
    """Where the submission server answers: on this machine, else as mail programs reach it."""
    outside = submission_server(settings)
    if outside is None:
        return None
    places = [outside]
    for port, security in ((settings.submissions_port, "tls"), (settings.submission_port, "starttls")):
        if port is not None:
            places.insert(0, Server(inside(settings), port, security))
    for place in places:
        with suppress(SilentPortError, ssl.SSLCertVerificationError):
            await greet(place, trusted=place.host == inside(settings))
            return place
    return None


_OFF = "To send through mailbell, set SUBMISSION_PORT, TLS_CERT and TLS_KEY."
