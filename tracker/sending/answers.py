"""What a provider's answers mean, and what went wrong on the way to it: the errors of upstream.py beside it.

Pure. Each error says what its catcher should do and holds the provider's own words on one line; none ever
holds a credential.
"""

from __future__ import annotations

import socket
import ssl

import aiosmtplib

from tracker.mail.draft import clean_line, shorten

LONGEST_WORDS = 200


class UpstreamError(Exception):
    """A copy was not handed over. The text holds the provider's words, on one line.

    UpstreamError
      ├─ LaterError         refused for now, or not reached: try again later
      ├─ RefusedError       refused for good: tell the sender
      ├─ LoginError         the provider refuses user and password: stop, ask the user to connect anew
      ├─ NoAnswerError      no answer after the mail's end: it may have been taken; try again, and mark it
      └─ CertificateError   the server cannot show that it is who it says: nothing was sent to it
    """


class LaterError(UpstreamError):
    """4xx, or the network."""


class RefusedError(UpstreamError):
    """5xx for this sender, recipient or mail."""


class LoginError(UpstreamError):
    """The provider does not let the user in."""


class NoAnswerError(UpstreamError):
    """The connection was lost, or nothing came, between the mail's last dot and its answer."""


class CertificateError(UpstreamError):
    """The certificate is not valid, or the server offers no encryption where it must."""


_LOGIN_NEEDED = (530, 535)  # RFC 4954, 6
# Congestion, by its nature for now (RFC 3463, 3.5): Gmail says so, for good, when a day's limit is reached.
_CONGESTED = "5.4.5"


def refusal(code: int, message: str) -> UpstreamError:
    words = said(code, message)
    if code in _LOGIN_NEEDED:
        return LoginError(words)
    is_final = 500 <= code < 600 and not message.startswith(_CONGESTED)
    return RefusedError(words) if is_final else LaterError(words)


def mapped(error: Exception, host: str = "the server") -> UpstreamError:
    """What went wrong on the wire, before any mail's end."""
    if isinstance(error, UpstreamError):
        return error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateError(one_line(f"{host} shows no valid certificate: {cause.verify_message}"))
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return LaterError(said(error.code, error.message))
    if isinstance(error, (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, OSError)):
        return LaterError(network_words(error))
    if isinstance(error, (ValueError, UnicodeError)):
        return RefusedError("the address has letters that your provider does not take")
    return CertificateError(one_line(str(error)))  # STARTTLS that is not offered


def said(code: int, message: str) -> str:
    """The provider's words on one line, as they are told in chat."""
    return one_line(f"{code} {message}")


def one_line(text: str) -> str:
    return shorten(clean_line(text), LONGEST_WORDS)


def network_words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiosmtplib.SMTPServerDisconnected):
        return "the connection was lost"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, socket.gaierror):
        return "its name leads nowhere"
    if isinstance(error, ssl.SSLError):
        return "the encryption failed"
    return "the network failed"
