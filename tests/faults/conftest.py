"""Faults are made by the thousand here; what the program logs of each would bury the figures that the tests print."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """The program's log goes nowhere, instead of to stderr for want of a handler."""
    logger, handler = logging.getLogger("a4ps"), logging.NullHandler()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
