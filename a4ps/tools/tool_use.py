"""How tools do in use, and what the forge failed at: rows of the image.

    tool-use      key: the tool's name; payload: JSON, {"calls", "failures", "ms"}
    tool-failed   key: the tool's name; payload: JSON, [{"args", "why", "at", "turn"}], the last failures of a tool in use
    tool-failure  key: digest of the task; payload: JSON, {"task", "name", "why", "attempts", "source", "at", "turn"}

Each grows by a row a call, failed call or failure; the newest counts. `args` is a tuple of plain values as typed JSON, so a
file of the size that a tool takes is kept as the test that it is. `turn` is the turn in which it happened, "" for none.
What was learnt from failure expires after `FAILURE_DAYS`: the world, the model and the tools change, so it is tried anew.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from a4ps.image.plain import Lacking, Refused
from a4ps.image.rows import GONE_SUFFIX, Row
from a4ps.image.store import Store
from a4ps.image.typed_json import TooDeep, from_json, to_json
from a4ps.tools.tool import FailedCall, Use

USE = "tool-use"
FAILED = "tool-failed"
FAILURE = "tool-failure"

#: How long a failure is believed.
FAILURE_DAYS = 7

#: Failures kept for the forge, and how long the arguments of one, and of all, may be as JSON.
KEPT = 8
ARGS_MAX = 1_000_000
ALL_ARGS_MAX = 2_000_000


@dataclass(frozen=True, slots=True)
class ForgeFailure:
    """A task that could not be done: why, after how many attempts, and the best text there was."""

    task: str
    name: str
    why: str
    attempts: int
    source: str
    at: datetime
    turn: str = ""

    @property
    def until(self) -> datetime:
        """When it is tried again by those who asked for it in a turn."""
        return self.at + timedelta(days=FAILURE_DAYS)


class ToolUse:
    """Reads and writes one store, from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writing = threading.Lock()

    def of(self, name: str) -> Use:
        """All that is known of a tool's use; failures that have expired are left out of `failed`."""
        row = self._store.head(USE, name)
        if row is None:
            return Use()
        plain = json.loads(row.payload)
        return Use(plain["calls"], plain["failures"], plain["ms"], tuple(call for call, _ in self._recent(name)))

    def count(self, name: str, args: Sequence[Any], ms: float, why: str, turn: str = "") -> None:
        """Record a call of a turn, "" for none; `why` is "" where it went well. Raises what `Store.commit` raises."""
        with self._writing:
            row = self._store.head(USE, name)
            plain: dict[str, Any] = {"calls": 0, "failures": 0, "ms": 0.0}
            if row is not None:
                plain = json.loads(row.payload)
            plain = {
                "calls": plain["calls"] + 1,
                "failures": plain["failures"] + bool(why),
                "ms": round(plain["ms"] + ms, 1),
            }
            rows = [_row(USE, name, plain)]
            spelt = _spelt(tuple(args)) if why else ""
            if spelt:
                failed = {"args": spelt, "why": why, "at": self._store.clock.now().isoformat(), "turn": turn}
                others = [entry for _, entry in self._recent(name) if entry["args"] != spelt]
                rows.append(_row(FAILED, name, _last([*others, failed])))
            self._store.commit(rows, author="package", reason=f"{name} was used")

    def mended(self, name: str) -> None:
        """Forget the failures: the version that is there now has passed them. Raises what `Store.commit` raises."""
        with self._writing:
            if self._store.head(FAILED, name) is not None:
                gone = Row(FAILED + GONE_SUFFIX, name, b"")
                self._store.commit([gone], author="package", reason=f"{name} was mended")

    def _recent(self, name: str) -> list[tuple[FailedCall, dict[str, str]]]:
        """The failures that have not expired, oldest first, each with what is kept of it."""
        row = self._store.head(FAILED, name)
        oldest = self._store.clock.now() - timedelta(days=FAILURE_DAYS)
        entries = [] if row is None else json.loads(row.payload)
        calls = ((_failed(entry), entry) for entry in entries)
        return [(call, entry) for call, entry in calls if call is not None and call.at >= oldest]

    def learn_failure(self, failure: ForgeFailure) -> None:
        """Raises what `Store.commit` raises."""
        plain = {
            "task": failure.task,
            "name": failure.name,
            "why": failure.why,
            "attempts": failure.attempts,
            "source": failure.source,
            "at": failure.at.isoformat(),
            "turn": failure.turn,
        }
        self._store.commit(
            [_row(FAILURE, _key(failure.task), plain)], author="package", reason="a tool could not be made"
        )

    def failure(self, task: str) -> ForgeFailure | None:
        """What is known of an earlier attempt at this task, None where there was none or it has expired."""
        row = self._store.head(FAILURE, _key(task))
        if row is None:
            return None
        plain = json.loads(row.payload)
        failure = ForgeFailure(**{**plain, "at": datetime.fromisoformat(plain["at"])})
        return failure if failure.until > self._store.clock.now() else None

    def forget_failure(self, task: str) -> None:
        """Once it was done after all. Raises what `Store.commit` raises."""
        if self._store.head(FAILURE, _key(task)) is not None:
            gone = Row(FAILURE + GONE_SUFFIX, _key(task), b"")
            self._store.commit([gone], author="package", reason="a tool could be made after all")


def _row(kind: str, key: str, plain: object) -> Row:
    return Row(kind, key, json.dumps(plain, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _key(task: str) -> str:
    """The same for a task in another case or spacing."""
    return hashlib.sha256(" ".join(task.lower().split()).encode("utf-8", "surrogatepass")).hexdigest()


def _last(entries: list[dict[str, str]]) -> list[dict[str, str]]:
    """The newest entries that are few and small enough to be kept."""
    kept = entries[-KEPT:]
    while sum(len(entry["args"]) for entry in kept) > ALL_ARGS_MAX:
        del kept[0]
    return kept


def _spelt(args: tuple[Any, ...]) -> str:
    """Arguments as text that reads back as themselves, "" where there is none."""
    try:
        text = json.dumps(to_json(args))
    except (TooDeep, Refused, ValueError):
        return ""
    return text if len(text) <= ARGS_MAX else ""


def _failed(plain: dict[str, str]) -> FailedCall | None:
    try:
        args = from_json(json.loads(plain["args"]))
        return FailedCall(args, plain["why"], datetime.fromisoformat(plain["at"])) if type(args) is tuple else None
    except (ValueError, KeyError, TypeError, Lacking):
        return None
