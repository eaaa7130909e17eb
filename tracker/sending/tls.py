"""The certificate of the submission server: TLS_CERT and TLS_KEY, or one made for a trial.

Called by tracker/sending/submission.py for each connection. Renewed files are taken up without a restart;
half-written ones are not, and the ones before go on serving. Without a certificate there is no submission:
a login never goes in the clear.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import os
import secrets
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tracker.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # between two looks at the files
_VALID = dt.timedelta(days=800)  # Apple takes no certificate that is valid for longer than 825 days
_RENEW = dt.timedelta(days=30)


class CertificateError(Exception):
    """TLS_CERT or TLS_KEY cannot be used; the text says what to put."""


class Certificate:
    """A certificate with its key, as files. `context()` is for one new connection."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises CertificateError where the files are no certificate with its key."""
        self._paths = certificate, key
        self._looked_at = time.monotonic()
        self._state = self._look()
        try:
            self._context = self._load()
        except (OSError, ssl.SSLError, ValueError) as error:
            raise CertificateError(
                f"TLS_CERT: {certificate} and TLS_KEY: {key} are no certificate with its key "
                f"({_reason(error)}); name PEM files that belong together, the key without a password"
            ) from error

    def context(self) -> ssl.SSLContext:
        """As the files are now, as far as they can be used."""
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._reload()
        return self._context

    def _reload(self) -> None:
        state = self._look()
        if state == self._state:
            return
        try:
            self._context = self._load()
        except (OSError, ssl.SSLError, ValueError) as error:
            log.warning("the new files of TLS_CERT and TLS_KEY cannot be used yet (%s)", _reason(error))
        else:
            self._state = state
            log.info("the new certificate of TLS_CERT is in use")

    def _look(self) -> tuple[object, ...]:
        """What tells the files from later ones; the times of links change with what they lead to."""
        try:
            found = [path.stat() for path in self._paths]
        except OSError:
            return ()
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        certificate, key = self._paths
        # A key with a password would have it asked for at the terminal.
        context.load_cert_chain(certificate, key, password="")
        return context


def open_certificate(settings: Settings) -> Certificate | None:
    """The operator's certificate, or in a trial one of its own; None where there is none.

    Raises CertificateError, OSError.
    """
    if settings.tls_cert is not None and settings.tls_key is not None:
        return Certificate(Path(settings.tls_cert), Path(settings.tls_key))
    if not settings.is_trial:
        return None
    return _own_certificate(settings)


def own_certificate_path(settings: Settings) -> Path:
    """Where a trial keeps its self-signed certificate, for clients that shall trust it."""
    return settings.data_dir / "tls_cert.pem"


def mail_host(settings: Settings) -> str:
    """The name of the submission server as mail programs know it."""
    return settings.public_smtp_host or urlsplit(settings.public_url).hostname or "localhost"


def _own_certificate(settings: Settings) -> Certificate:
    certificate, key = own_certificate_path(settings), settings.data_dir / "tls_key.pem"
    if not _is_good(certificate, mail_host(settings)):
        _make_certificate(certificate, key, mail_host(settings))
    try:
        return Certificate(certificate, key)
    except CertificateError:  # a crash came between the two files
        _make_certificate(certificate, key, mail_host(settings))
        return Certificate(certificate, key)


def _is_good(path: Path, host: str) -> bool:
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return _general_name(host) in names and found.not_valid_after_utc > dt.datetime.now(dt.UTC) + _RENEW


def _make_certificate(certificate: Path, key: Path, host: str) -> None:
    """A self-signed certificate for this machine's names; the key can be read by nobody else."""
    secret = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mailbell trial")])
    hosts = dict.fromkeys([host, "localhost", "127.0.0.1", "::1"])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general_name(one) for one in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(secret, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    _write(key, secret.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain), 0o600)
    _write(certificate, made.public_bytes(pem), 0o644)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host.encode("idna").decode())


def _write(path: Path, content: bytes, mode: int) -> None:
    """Writes the file whole or not at all."""
    unready = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(unready, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        unready.rename(path)
    finally:
        unready.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM").replace("_", " ").lower().replace("pem", "PEM")
    return (error.strerror or "unreadable") if isinstance(error, OSError) else "no PEM"
