"""Telling the service manager that started us that we are ready: the datagram of sd_notify(3)."""

from __future__ import annotations

import socket
from collections.abc import MutableMapping
from contextlib import suppress


def tell_ready(environ: MutableMapping[str, str]) -> None:
    """Say so where somebody asked for it in NOTIFY_SOCKET; a failure harms nobody.

    The variable is taken out: no child of ours speaks for us.
    """
    address = environ.pop("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        # A leading "@" stands for the zero byte of an abstract address (unix(7)).
        channel.sendto(b"READY=1", f"\0{address[1:]}" if address[0] == "@" else address)
