"""``HOST:PORT`` as people write it."""

from __future__ import annotations


def parse(text: str) -> tuple[str, int]:
    """Host and port; an IPv6 address stands in brackets. Raises ValueError, whose text goes on after the key's name."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("takes HOST:PORT, like 192.0.2.7:1883 or [2001:db8::7]:1883")
    return host.removeprefix("[").removesuffix("]"), int(port)
