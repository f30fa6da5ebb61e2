"""Who is let in over TCP: clients whose keys are on the list (CURVE; ZeroMQ asks as ZAP says). Others are logged."""

from __future__ import annotations

import logging
from pathlib import Path

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from a4ps.protocol.curve import allowed, key_pair
from a4ps.protocol.wire import Wire

_log = logging.getLogger(__name__)

_DOMAIN = b"a4ps"
#: Which of them it is depends on who hangs up first.
_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL


class Gatekeeper:
    """One context's, in the loop in which it was made. `folder` has the keys."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: Path) -> None:
        """Raises StorageFailed for a key of ours that cannot be used."""
        self._folder = folder
        self._keys = key_pair(folder, "server")
        self._context = context
        socket: zmq.Socket[bytes] = context.socket(zmq.REP)
        socket.bind("inproc://zeromq.zap.01")
        self._asked = Wire(socket, self._asks)
        self._monitors: list[Wire] = []

    def admit(self, socket: zmq.Socket[bytes], address: str) -> None:
        """Have `socket` listen there too, for those on the list. What it listens on already stays as it is."""
        self._monitors.append(Wire(socket.get_monitor_socket(_FAILED), self._failed))
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._keys.secret)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.setsockopt(zmq.ZAP_DOMAIN, _DOMAIN)
        socket.bind(address)

    def close(self) -> None:
        """Let nobody in any more."""
        for wire in (self._asked, *self._monitors):
            wire.close(0)

    def _asks(self, frames: list[bytes]) -> None:
        """ZAP: version, request, domain, address, identity, mechanism, credentials."""
        version, request, _, address, _, mechanism, *credentials = frames
        name = None
        if mechanism == b"CURVE" and len(credentials) == 1:
            try:
                name = allowed(self._folder).get(z85.encode(credentials[0]))
            except OSError:
                _log.exception("the list of who is let in cannot be read")
        if name is None:
            _log.warning("refused %s: its key is not in %s", address.decode(errors="replace"), self._folder / "allowed")
            self._asked.send([version, request, b"400", b"this key is not known here", b"", b""])
        else:
            self._asked.send([version, request, b"200", b"", name.encode(), b""])

    def _failed(self, frames: list[bytes]) -> None:
        told = parse_monitor_message(frames)
        if told["event"] & _FAILED:
            where = told["endpoint"].decode(errors="replace")
            _log.warning(
                "refused a connection to %s: no key, or not this backend's: CURVE and our server.pub are needed", where
            )
