"""Faults are made by the thousand here; what the program logs of each would bury the figures that the tests print."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """The program's log goes nowhere, instead of to stderr for want of a handler."""
    logger, handler = logging.getLogger("a4ps"), logging.NullHandler()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one, for what asks nothing of a disk and would only wait for it."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)
