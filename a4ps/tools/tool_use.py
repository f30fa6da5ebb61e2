"""How tools do in use, and what the forge failed at: rows of the image.

    tool-use      key: the tool's name; payload: JSON, {"calls", "failures", "ms", "failed": [{"args", "why", "at"}]}
    tool-failure  key: digest of the task; payload: JSON, {"task", "name", "why", "attempts", "source", "at"}

Both grow by a row a call or failure; the newest counts. `args` is Python's own spelling of a tuple of plain values.
What was learnt from failure expires after `FAILURE_DAYS`: the world, the model and the tools change, so it is tried anew.
"""

from __future__ import annotations

import ast
import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from a4ps.image.rows import GONE_SUFFIX, Row
from a4ps.image.store import Store
from a4ps.tools.tool import FailedCall, Use

USE = "tool-use"
FAILURE = "tool-failure"

#: How long a failure is believed.
FAILURE_DAYS = 7

#: Failures kept for the forge, and how long their arguments may be in Python's spelling.
KEPT = 8
ARGS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class ForgeFailure:
    """A task that could not be done: why, after how many attempts, and the best text there was."""

    task: str
    name: str
    why: str
    attempts: int
    source: str
    at: datetime

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
        oldest = self._store.clock.now() - timedelta(days=FAILURE_DAYS)
        failed = (_failed(each) for each in plain["failed"])
        recent = tuple(each for each in failed if each is not None and each.at >= oldest)
        return Use(plain["calls"], plain["failures"], plain["ms"], recent)

    def count(self, name: str, args: Sequence[Any], ms: float, why: str) -> None:
        """Record a call; `why` is "" where it went well. Raises what `Store.commit` raises."""
        with self._writing:
            row = self._store.head(USE, name)
            plain: dict[str, Any] = {"calls": 0, "failures": 0, "ms": 0.0, "failed": []}
            if row is not None:
                plain = json.loads(row.payload)
            plain["calls"] += 1
            plain["ms"] = round(plain["ms"] + ms, 1)
            if why:
                plain["failures"] += 1
                spelt = _spelt(tuple(args))
                if spelt:
                    failed = {"args": spelt, "why": why, "at": self._store.clock.now().isoformat()}
                    plain["failed"] = [*(each for each in plain["failed"] if each["args"] != spelt), failed][-KEPT:]
            self._commit(USE, name, plain, f"{name} was used")

    def mended(self, name: str) -> None:
        """Forget the failures: the version that is there now has passed them. Raises what `Store.commit` raises."""
        with self._writing:
            row = self._store.head(USE, name)
            if row is not None and (plain := json.loads(row.payload))["failed"]:
                self._commit(USE, name, {**plain, "failed": []}, f"{name} was mended")

    def learn_failure(self, failure: ForgeFailure) -> None:
        """Raises what `Store.commit` raises."""
        plain = {
            "task": failure.task,
            "name": failure.name,
            "why": failure.why,
            "attempts": failure.attempts,
            "source": failure.source,
            "at": failure.at.isoformat(),
        }
        self._commit(FAILURE, _key(failure.task), plain, "a tool could not be made")

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

    def _commit(self, kind: str, key: str, plain: dict[str, Any], reason: str) -> None:
        payload = json.dumps(plain, ensure_ascii=False).encode("utf-8", "surrogatepass")
        self._store.commit([Row(kind, key, payload)], author="package", reason=reason)


def _key(task: str) -> str:
    """The same for a task in another case or spacing."""
    return hashlib.sha256(" ".join(task.lower().split()).encode("utf-8", "surrogatepass")).hexdigest()


def _spelt(args: tuple[Any, ...]) -> str:
    """Arguments as text that reads back as themselves, "" where there is none."""
    try:
        text = repr(args)
        return text if len(text) <= ARGS_MAX and ast.literal_eval(text) == args else ""
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ""


def _failed(plain: dict[str, Any]) -> FailedCall | None:
    try:
        return FailedCall(ast.literal_eval(plain["args"]), plain["why"], datetime.fromisoformat(plain["at"]))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
