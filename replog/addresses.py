"""What an address is: ``host:port``, or ``[ipv6]:port``. Settings, commands and the client read it here.

Never: look a name up.
"""

from __future__ import annotations

PORT_MAX = 2**16 - 1


def check_address(address: str) -> str:
    """Return ``address`` as it is.

    Raises
    ------
    ValueError: it does not read ``host:port`` or ``[ipv6]:port``, or no host can have that name; the text says which.
    """
    split_address(address)
    return address


def split_address(address: str) -> tuple[str, int]:
    """Host and port as a socket wants them: without brackets, and in ASCII, so that looking it up can only fail.

    Raises
    ------
    ValueError: as ``check_address`` does.
    """
    host, _, port = address.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if ":" in host and not is_bracketed:
        raise ValueError(f"{address!r}: write an IPv6 address in brackets, like [::1]:7101.")
    is_port = port.isascii() and port.isdigit() and len(port) <= len(str(PORT_MAX)) and 0 < int(port) <= PORT_MAX
    if not host or not is_port:
        raise ValueError(f"{address!r} is no host:port, like 127.0.0.1:7101; ports are 1 to {PORT_MAX}.")
    try:
        return (_ipv6(host[1:-1]) if is_bracketed else _ascii(host)), int(port)
    except ValueError as error:
        why = error.__cause__ or error  # the codec of names wraps the cause
        raise ValueError(f"{address!r}: no host has this name ({why}); type it anew, like 127.0.0.1:7101.") from None


def _ipv6(text: str) -> str:
    import ipaddress

    return str(ipaddress.IPv6Address(text))


def _ascii(host: str) -> str:
    """The name as it is looked up; other letters by IDNA 2008, the standard that trio and anyio follow."""
    if any(character.isspace() or not character.isprintable() for character in host):
        raise ValueError("blanks and invisible characters are in no name")
    if host.isascii():
        return host.encode("idna").decode()  # as Python's own lookup does: no empty label, none above 63 characters
    import idna

    return idna.encode(host, uts46=True).decode()
