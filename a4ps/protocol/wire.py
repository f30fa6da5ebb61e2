"""A ZeroMQ socket in an event loop: what comes in is given to a function, what goes out never waits.

ZeroMQ tells of events by one descriptor whose readiness means only that something has changed; so after each look, and each
send, the socket itself is asked whether there is more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import zmq

#: Messages taken in one go before other work of the loop has its turn.
_AT_ONCE = 64


class Wire:
    """One socket and one loop; the socket is closed with it."""

    def __init__(self, socket: zmq.Socket[bytes], received: Callable[[list[bytes]], None] | None) -> None:
        """`received` is None for a socket that only sends."""
        self._socket = socket
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._fd = int(socket.getsockopt(zmq.FD))
        self._soon: asyncio.Handle | None = None
        if received is not None:
            self._loop.add_reader(self._fd, self._look)
        self._look_soon()

    def send(self, frames: Sequence[bytes]) -> bool:
        """Whether it was taken; not where the other side does not read, or is gone."""
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK, copy=True)
        except zmq.ZMQError:
            return False
        finally:
            self._look_soon()
        return True

    def close(self, linger_ms: int = 500) -> None:
        """What was sent has `linger_ms` to leave. Idempotent."""
        if self._socket.closed:
            return
        self._loop.remove_reader(self._fd)
        if self._soon is not None:
            self._soon.cancel()
        self._socket.close(linger=linger_ms)

    def _is_closed(self) -> bool:
        """Whoever was given a message may have closed it."""
        return bool(self._socket.closed)

    def _look_soon(self) -> None:
        if (
            self._received is not None
            and self._soon is None
            and not self._socket.closed
            and int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN
        ):
            self._soon = self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._soon = None
        if self._socket.closed or self._received is None:
            return
        try:
            for _ in range(_AT_ONCE):
                # A socket that only sends has no other way to be asked.
                if self._is_closed() or not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                    return
                with suppress(zmq.Again):
                    self._received(self._socket.recv_multipart(zmq.NOBLOCK))
        finally:  # whatever went wrong with one, those behind it have their turn
            self._look_soon()
