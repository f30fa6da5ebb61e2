"""A backend that a service manager starts says when it is ready, and ends in order when told to."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from a4ps.cli.readiness import tell_ready
from tests.doubles.household import Household


def listener(address: str) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.settimeout(60)
    channel.bind(address)
    return channel


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_is_told_once_and_no_child_can_tell_it(tmp_path: Path, kind: str) -> None:
    name = f"a4ps-{tmp_path.name}-{tmp_path.parent.name}"
    address = str(tmp_path / "n") if kind == "file" else f"@{name}"
    environ = {"NOTIFY_SOCKET": address, "HOME": "/"}
    with listener(address if kind == "file" else f"\0{name}") as channel:
        tell_ready(environ)
        assert channel.recv(100) == b"READY=1"
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_nobody_who_listens_harms_nobody(environ: dict[str, str]) -> None:
    tell_ready(environ)
    assert environ == {}


@pytest.mark.slow
def test_a_backend_says_so_once_it_can_be_asked_and_ends_in_order_at_sigterm(tmp_path: Path) -> None:
    person = Household(tmp_path)
    person.environ["NOTIFY_SOCKET"] = str(tmp_path / "n")
    with listener(str(tmp_path / "n")) as channel, person.start("up", "--headless") as backend:
        assert channel.recv(100) == b"READY=1"
        assert person.json("status")["backend"]["pid"] == backend.pid
        backend.send_signal(signal.SIGTERM)
        assert backend.wait(60) == 0
    assert person.json("status", expect=1) == {"up": False, "backend": None}
