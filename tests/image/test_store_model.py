"""The store against a model of it in a dict, through any sequence of commits, refusals and reopenings."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from a4ps.clock import ManualClock
from a4ps.errors import CallerError
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Row, Store

KINDS = st.sampled_from(["turn", "ended", "memory"])
KEYS = st.sampled_from(["a", "b", "c", "ä\x00", ""])
WORDS = st.lists(st.sampled_from(["north", "wind", "sun", "Ärger", "-", '"']), max_size=5).map(" ".join)
ROWS = st.builds(Row, KINDS, KEYS, st.binary(max_size=300), WORDS)


QUOTE = '"'


def as_indexed(text: str) -> str:
    """The words that FTS5 finds in `text`, which has only words of WORDS."""
    return f" {' '.join(word for word in text.replace('Ä', 'A').lower().split() if word not in ('-', QUOTE))} "


class StoreAgainstModel(RuleBasedStateMachine):
    """I1: whatever happens in whatever order, heads, order, open keys and search are the model's."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.generation = 0
        self.log: list[tuple[int, Row]] = []
        self.open()

    def open(self) -> None:
        self.store = Store.open(self.folder / "image.a4ps", KeyFolder(self.folder / "keys"), self.clock)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    def heads(self, kind: str) -> dict[str, tuple[int, Row]]:
        heads: dict[str, tuple[int, Row]] = {}
        for generation, row in self.log:
            if row.kind == kind:
                heads.pop(row.key, None)
                heads[row.key] = (generation, row)
        return heads

    @rule(batch=st.lists(ROWS, min_size=1, max_size=4), seconds=st.floats(-5, 5))
    def commit(self, batch: list[Row], seconds: float) -> None:
        self.clock.advance(seconds)
        self.generation += 1
        commit = self.store.commit(batch, author="model", reason="any")
        assert (commit.generation, commit.at) == (self.generation, self.clock.now())
        self.log += [(self.generation, row) for row in batch]

    @rule(batch=st.lists(ROWS, max_size=2))
    def commit_what_is_refused(self, batch: list[Row]) -> None:
        with pytest.raises(CallerError):
            self.store.commit([*batch, Row("", "key", b"")], author="model", reason="any")

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @rule()
    def verify(self) -> None:
        report = self.store.verify(deep=True)
        assert (report.faults, report.warnings) == ((), ())
        assert (report.commits, report.rows) == (self.generation, len(self.log))

    @rule(kind=KINDS, limit=st.integers(0, 4))
    def newest(self, kind: str, limit: int) -> None:
        expected = [(row.key, row.payload) for _, row in reversed(self.heads(kind).values())][:limit]
        assert [(row.key, row.payload) for row in self.store.newest(kind, limit=limit)] == expected

    @rule(kind=KINDS, word=st.sampled_from(["north", "sun", "arger", '"north wind"']))
    def search(self, kind: str, word: str) -> None:
        expected = {
            key for key, (_, row) in self.heads(kind).items() if f" {word.strip(QUOTE)} " in as_indexed(row.text)
        }
        assert {key for key, *_ in self.store.search(word, kind=kind, limit=99)} == expected

    @invariant()
    def heads_are_the_models(self) -> None:
        assert self.store.generation == self.generation
        for kind in ("turn", "ended", "memory"):
            for key, (generation, row) in self.heads(kind).items():
                head = self.store.head(kind, key)
                assert head is not None
                assert (head.payload, head.generation) == (row.payload, generation)
        turns = dict.fromkeys(row.key for _, row in self.log if row.kind == "turn")
        ended = {row.key for _, row in self.log if row.kind == "ended"}
        assert self.store.keys_without("turn", "ended") == [key for key in turns if key not in ended]


StoreAgainstModel.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestStoreAgainstModel = StoreAgainstModel.TestCase
