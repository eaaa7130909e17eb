"""The ways that one mail address can be written, so that whoever is looked for is found under each.

Called where people are left alone, forgotten or handed over. Pure.
"""

from __future__ import annotations


def address_forms(address: str) -> list[str]:
    """The ways that one address is written, the domain in Unicode and in ASCII; the ASCII one last."""
    address = address.lower()
    local, _, domain = address.rpartition("@")
    forms = [address]
    try:
        ascii_domain = domain.encode("idna").decode().lower()
        forms.append(f"{local}@{ascii_domain.encode().decode('idna')}")
        forms.append(f"{local}@{ascii_domain}")
    except UnicodeError:
        pass  # no domain that DNS could know: only as it stands
    return forms
