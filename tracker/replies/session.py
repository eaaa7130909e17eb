"""One IMAP connection to somebody's mailbox: log in, see what is new, read headers, wait. Blocking.

Every method is called in a thread by tracker/replies/watcher.py, one at a time; `interrupt` from anywhere.
Only INBOX, only to read (EXAMINE, BODY.PEEK), and only headers, but for the beginning of what a server wrote
about mail that did not arrive. Errors are those of tracker/sending/upstream.py. It knows no database.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import imaplib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from imap_tools import BaseMailBox
from imap_tools.errors import ImapToolsError, MailboxLoginError

from tracker.mail.draft import clean_line
from tracker.replies.wire import COMMAND_SECONDS, Box, Plain, Tls, start_tls
from tracker.sending.credentials import Credentials, Server
from tracker.sending.upstream import CertificateError, LaterError, LoginError, UpstreamError

T = TypeVar("T")
P = ParamSpec("P")

MOST_RETURNED = 64 * 1024  # bytes of a bounce that are read
MOST_FOUND = 2_000  # mails looked at after a mailbox was set up anew at its server
FIELDS = (
    "FROM", "TO", "CC", "DATE", "SUBJECT", "MESSAGE-ID", "IN-REPLY-TO", "REFERENCES", "AUTO-SUBMITTED",
    "PRECEDENCE", "LIST-ID", "CONTENT-TYPE", "RETURN-PATH", "X-FAILED-RECIPIENTS", "X-AUTOREPLY",
    "X-AUTORESPOND", "X-AUTO-REPLY", "X-AUTOREPLY-FROM", "X-MAIL-AUTOREPLY", "X-AUTORESPONDER",
    "X-FC-MACHINEGENERATED", "X-VACATION", "X-POST-MESSAGECLASS",
)  # fmt: skip
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FOR_NOW = re.compile(
    r"\[(?:unavailable|inuse|limit|serverbug|contactadmin)\]|temporar|try again|too many|unavailable|"
    r"\brate\b|\blimit|overload|timed? ?out|internal (?:error|server)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Standing:
    """Where the mailbox's numbering is (RFC 3501, 2.3.1.1)."""

    validity: int
    next_uid: int


@dataclass(frozen=True)
class Arrived:
    """A mail as far as it was read."""

    uid: int
    at: dt.datetime | None  # when the server got it
    headers: bytes


def _said_as_upstream(method: Callable[Concatenate[Session, P], T]) -> Callable[Concatenate[Session, P], T]:
    """Whatever goes wrong is an UpstreamError with the server's words, without a credential."""

    @wraps(method)
    def call(self: Session, *args: P.args, **more: P.kwargs) -> T:
        try:
            return method(self, *args, **more)
        except UpstreamError:
            raise
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message or "bad certificate"
            raise CertificateError(f"{self.server.host} does not prove who it is ({why})") from None
        except (OSError, imaplib.IMAP4.error, ImapToolsError, ValueError) as error:
            raise LaterError(f"{self.server.host}: {self.words_of(error)}") from None
        except Exception as error:  # the library raises nearly anything on what is no IMAP
            raise LaterError(f"{self.server.host} answers no IMAP ({type(error).__name__})") from None

    return cast("Callable[Concatenate[Session, P], T]", call)


class Session:
    """A connection. `addresses` are those that the host was found to lead to, and may be contacted."""

    def __init__(
        self, server: Server, credentials: Credentials, addresses: Sequence[str] | None = None
    ) -> None:
        self.server = server
        self._credentials = credentials
        self._addresses = list(addresses or [server.host])
        self._box: BaseMailBox | None = None
        self._stopped = False

    @_said_as_upstream
    def open(self) -> Standing:
        """Connects, logs in, opens INBOX. Raises UpstreamError."""
        box = self._box = Box(self._connect())
        if self._stopped:
            self.close()
            raise LaterError("stopped")
        if self.server.security == "starttls":
            start_tls(box.client)
        self._log_in(box)
        _, said = box.client.capability()  # it may say more after the login
        box.client.capabilities = tuple(said[-1].decode("ascii", "replace").upper().split())
        box.folder.set("INBOX", readonly=True)
        return Standing(_number(box.client, "UIDVALIDITY"), _number(box.client, "UIDNEXT"))

    def _connect(self) -> imaplib.IMAP4:
        fault: OSError = OSError("no address")
        made = Tls if self.server.security == "tls" else Plain
        for address in self._addresses:
            try:
                return made(address, self.server.host, self.server.port)
            except ssl.SSLError:
                raise
            except OSError as error:
                fault = error
        raise fault

    def _log_in(self, box: BaseMailBox) -> None:
        given = self._credentials
        try:
            if given.auth == "xoauth2":
                box.client.authenticate("XOAUTH2", _bearer(given))
            elif (given.username + given.secret).isascii():
                box.login(given.username, given.secret, initial_folder=None)
            else:
                box.login_utf8(given.username, given.secret, initial_folder=None)
        except (MailboxLoginError, imaplib.IMAP4.error) as error:
            if isinstance(error, imaplib.IMAP4.abort):
                raise
            words = self.words_of(error)
            raise (LaterError if _FOR_NOW.search(words) else LoginError)(words) from None

    @_said_as_upstream
    def find_new(self, next_uid: int) -> list[int]:
        """The numbers from `next_uid` on, in order."""
        # What comes from now on rings again, if it was not found.
        self._client.untagged_responses.pop("EXISTS", None)
        found = self._search(f"UID {next_uid}:*")
        return [uid for uid in found if uid >= next_uid]  # n:* always names the last mail

    @_said_as_upstream
    def find_since(self, day: dt.date) -> list[int]:
        """The numbers of what came on that day or later, the newest at the most."""
        return self._search(f"SINCE {day.day}-{_MONTHS[day.month - 1]}-{day.year}")[-MOST_FOUND:]

    def _search(self, criteria: str) -> list[int]:
        kind, data = self._client.uid("SEARCH", criteria)
        if kind != "OK":
            raise LaterError("the mailbox cannot be searched")
        return sorted({int(one) for one in b" ".join(x for x in data if x).split() if one.isdigit()})

    @_said_as_upstream
    def read_headers(self, uids: Sequence[int]) -> list[Arrived]:
        """Sender, subject, references and what tells machines; nothing is marked as read."""
        what = f"(UID INTERNALDATE BODY.PEEK[HEADER.FIELDS ({' '.join(FIELDS)})])"
        rows = self._fetch(",".join(map(str, uids)), what)
        return [Arrived(uid, _moment(said), content) for uid, said, content in rows]

    @_said_as_upstream
    def read_returned(self, uid: int) -> bytes:
        """The beginning of a mail that a server wrote about one of ours."""
        rows = self._fetch(str(uid), f"(UID BODY.PEEK[]<0.{MOST_RETURNED}>)")
        return rows[0][2] if rows else b""

    def _fetch(self, uids: str, what: str) -> list[tuple[int, bytes, bytes]]:
        """Number, what the server said beside it, and the content, for each mail."""
        kind, data = self._client.uid("FETCH", uids, what)
        if kind != "OK":
            raise LaterError("the mailbox cannot be read")
        rows: list[tuple[bytes, bytes]] = []
        for one in data:
            if isinstance(one, tuple):
                rows.append((one[0], one[1]))
            elif rows and isinstance(one, bytes):  # what stands behind the content belongs to the same mail
                rows[-1] = (rows[-1][0] + b" " + one, rows[-1][1])
        found = []
        for said, content in rows:
            uid = re.search(rb"UID (\d+)", said)
            if uid is not None:
                found.append((int(uid[1]), said, content))
        return found

    @_said_as_upstream
    def wait(self, seconds: float, poll_seconds: float) -> None:
        """Until something may be new, or for so long: by IDLE (RFC 2177), else `poll_seconds` and a NOOP."""
        if "IDLE" in self._client.capabilities:
            self._idle(seconds)
        else:
            self._sleep(min(seconds, poll_seconds))
            self._client.noop()

    def _idle(self, seconds: float) -> None:
        assert self._box is not None
        until = time.monotonic() + seconds
        idle: Any = self._box.idle
        idle.start()
        # What was announced since the last search is no news to IDLE.
        while "EXISTS" not in self._client.untagged_responses and not self._stopped:
            left = until - time.monotonic()
            # What came in one piece with the server's go-ahead is in a buffer, where no poll sees it.
            lines = self._buffered() or (idle.poll(left) if left > 0 else [])
            if not lines or any(re.match(rb"\* (?:\d+ EXISTS|BYE)", line) for line in lines):
                break
        idle.stop()

    def _buffered(self) -> list[bytes]:
        """Lines that were received already."""
        lines: list[bytes] = []
        self._client.sock.settimeout(0)
        try:
            while len(lines) < 1_000:
                lines.append(self._client._get_line())
        except (OSError, imaplib.IMAP4.abort):  # nothing more, or nobody there: the next command tells
            return lines
        finally:
            self._client.sock.settimeout(COMMAND_SECONDS)
        return lines

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopped and time.monotonic() < until:
            time.sleep(min(1.0, max(0.0, until - time.monotonic())))

    def interrupt(self) -> None:
        """Ends whatever the session waits for, from any thread; the connection is of no use any more."""
        self._stopped = True
        with contextlib.suppress(OSError, AttributeError):
            assert self._box is not None
            self._box.client.sock.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        """As `close`, in a thread that nobody waits for."""
        threading.Thread(target=self.close, daemon=True, name="mailbox").start()

    def close(self) -> None:
        """Says goodbye where somebody listens, and closes."""
        if self._box is None:
            return
        with contextlib.suppress(Exception):
            if not self._stopped:
                self._box.client.sock.settimeout(5.0)
                self._box.client.logout()
        with contextlib.suppress(Exception):
            self._box.client.shutdown()

    @property
    def _client(self) -> Any:
        assert self._box is not None
        return self._box.client

    def words_of(self, error: BaseException) -> str:
        """What the server said, without its frame of brackets and without what was given."""
        found: object = error
        if isinstance(error, ImapToolsError):
            found = getattr(error, "command_result", error)
        words = str(found)
        if isinstance(found, tuple) and len(found) == 2:
            parts = found[1] if isinstance(found[1], list) else [found[1]]
            words = " ".join(
                one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in parts
            )
        words = re.sub(r"^b?['\"]|['\"]$", "", words)
        for secret in (self._credentials.secret, self._credentials.username):
            words = words.replace(secret, "…") if len(secret) > 3 else words
        return clean_line(words, 200) or type(error).__name__


def _bearer(given: Credentials) -> Callable[[bytes], bytes]:
    """Answers of XOAUTH2: the token, and nothing to what is said about a bad one (as Gmail describes it)."""
    said = iter([f"user={given.username}\1auth=Bearer {given.secret}\1\1".encode()])
    return lambda _challenge: next(said, b"")


def _number(client: imaplib.IMAP4, name: str) -> int:
    _, data = client.response(name)
    found = data[-1] if data else None
    if isinstance(found, bytes) and found.isdigit():
        return int(found)
    raise LaterError(f"the server does not say its {name}")


def _moment(said: bytes) -> dt.datetime | None:
    parsed = imaplib.Internaldate2tuple(said)
    return dt.datetime.fromtimestamp(time.mktime(parsed), dt.UTC) if parsed else None
