"""A backend as clients start it, whose tools run in a process of their own each, without a sandbox: `start_apart`."""

from __future__ import annotations

import sys

import pytest

from a4ps.cli.main import run
from a4ps.client import starting
from a4ps.kernel import wiring
from tests.doubles.apart_runner import ApartExecutor


def start_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the commands that run in this process start this backend."""
    monkeypatch.setattr(starting, "PROGRAM", ("-P", "-m", __name__))


if __name__ == "__main__":
    vars(wiring)["SecureCodeExecutor"] = ApartExecutor
    sys.exit(run(sys.argv[1:]))
