"""The arenas: one for each kind of sandbox, shared by the tests of a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.attacks.arena import Arena, Kind, Unavailable, arena, kinds


@pytest.fixture(scope="module", params=kinds(), ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture(scope="module")
def place(kind: Kind) -> Iterator[Arena]:
    """An executor to attack; skipped with the reason where there is none of its kind."""
    # Not pytest's own folder, which no other user may enter.
    with tempfile.TemporaryDirectory(prefix="a4ps-attacks-") as folder:
        try:
            with arena(kind, Path(folder)) as made:
                yield made
        except Unavailable as error:
            pytest.skip(str(error))
