"""Who takes mail for a domain (MX records), asked of the machine's own name servers.

Used by `connect`, to guess the provider of an address of somebody's own domain, and by the doctor. The
library is imported when it is needed: no other part of mailbell asks DNS for more than an address.
"""

from __future__ import annotations

from typing import Any

from tracker.mail.draft import clean_line

SECONDS = 5.0


class NoExchangerError(Exception):
    """The domain has no MX record, or it cannot be found out; the text says which."""


async def mail_exchangers(domain: str) -> list[str]:
    """The names of the servers that take mail for `domain`, the preferred first, without a dot at the end.

    Raises NoExchangerError. RFC 5321, 5.1; a single empty name (RFC 7505) means that the domain takes none.
    """
    import dns.exception
    import dns.resolver

    try:
        answer = await _resolver().resolve(domain.rstrip(".") + ".", "MX", lifetime=SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        raise NoExchangerError(f"{clean_line(domain, 80)} has no MX record") from None
    except (dns.exception.DNSException, OSError, ValueError) as error:
        raise NoExchangerError(f"the name servers do not say ({type(error).__name__})") from None
    rows = sorted(answer, key=lambda row: row.preference)
    names = [row.exchange.to_text(omit_final_dot=True).lower() for row in rows]
    found = [name for name in names if name not in ("", ".", "@")]
    if not found:
        raise NoExchangerError(f"{clean_line(domain, 80)} says that it takes no mail")
    return found


def _resolver() -> Any:
    """The resolver of this machine; tests put their own name server here."""
    import dns.asyncresolver

    return dns.asyncresolver.Resolver()
