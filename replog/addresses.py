"""What an address is: ``host:port``, or ``[ipv6]:port``. Settings, commands and the client read it here."""

from __future__ import annotations


def check_address(address: str) -> str:
    """Return ``address`` if it reads ``host:port`` or ``[ipv6]:port``.

    Raises ``ValueError`` saying what is missing otherwise.
    """
    host, _, port = address.rpartition(":")
    is_bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if is_bare_ipv6:
        raise ValueError(f"{address!r}: write an IPv6 address in brackets, like [::1]:7101.")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is no host:port, like 127.0.0.1:7101.")
    return address


def split_address(address: str) -> tuple[str, int]:
    """Host (without brackets) and port, as a socket wants them. Raises ``ValueError`` as ``check_address`` does."""
    host, _, port = check_address(address).rpartition(":")
    return host.strip("[]"), int(port)
