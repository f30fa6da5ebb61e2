"""What many tests start from: a clock that stands still, an open image, its turns."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from a4ps.clock import ManualClock
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Store
from a4ps.image.turns import TurnLog
from tests.doubles.household import Household

# No test measures time, Hypothesis's own deadline included.
settings.register_profile("a4ps", deadline=None, print_blob=True)
settings.load_profile("a4ps")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has printed and logged travels to another process as UTF-8, which half a character is not."""
    report = yield
    report.sections = [(title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections]
    return report


@pytest.fixture(autouse=True)
def end_backends() -> Iterator[None]:
    """No backend outlives the test whose commands started it."""
    yield
    while Household.lived_in:
        Household.lived_in.pop().end_backends()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    with Store.open(tmp_path / "home" / "image.a4ps", KeyFolder(tmp_path / "keys"), clock) as opened:
        yield opened


@pytest.fixture
def turn_log(store: Store) -> TurnLog:
    return TurnLog(store)
