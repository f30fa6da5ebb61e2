"""The ledger of effects: what a step of a turn did beyond speaking, so that a step that is done again does not do it again.

    effect  key: TURN/STEP/ORDINAL; payload: JSON, {"state", "action", "taint", "result"}

An intent is durable before anything happens; with its result it is done. A step reads the ledger before it acts: what is
done is read and not repeated, whatever a model would say now. Of an intent without result nobody knows how far it came.
The approval that an effect needed is used up by the commit that begins it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from a4ps.errors import IntegrityError
from a4ps.governance.approvals import Action, Where
from a4ps.governance.taint import Taint, as_plain
from a4ps.image.rows import Row
from a4ps.image.store import Store

EFFECT = "effect"


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect as recorded last. `result` is JSON data, None while it is not known; `at` is when this was recorded."""

    where: Where
    action: Action
    state: Literal["intent", "done"]
    taint: Taint
    at: datetime
    result: Any = None


class Effects:
    """Reads and writes one store, from any thread; raises what the store raises."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def at(self, where: Where) -> Effect | None:
        """What is recorded of one place."""
        row = self._store.head(EFFECT, str(where))
        if row is None:
            return None
        try:
            plain = json.loads(row.payload)
            action, taint = Action(**plain["action"]), frozenset(plain["taint"])
            return Effect(where, action, plain["state"], taint, row.at, plain["result"])
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"the effect {row.key} cannot be read: {error}", next_step="a4ps image verify --deep"
            ) from error

    def of_turn(self, turn: str) -> list[Where]:
        """The places of a turn at which something was begun."""
        places = (key.split("/") for key in self._store.heads(EFFECT) if key.startswith(f"{turn}/"))
        begun = (Where(turn, step, int(ordinal)) for _, step, ordinal in places)
        return sorted((where for where in begun if self.at(where) is not None), key=str)

    def begin(self, where: Where, action: Action, taint: Taint, *, author: str, using: Sequence[Row] = ()) -> None:
        """Record the intent, and with it the `using` rows of the approval that it uses up; durable when this returns."""
        self._commit(where, action, "intent", taint, None, author, using)

    def done(self, where: Where, action: Action, taint: Taint, result: Any, *, author: str) -> None:
        """Record that it has happened, with what came of it as JSON data."""
        self._commit(where, action, "done", taint, result, author, ())

    def _commit(
        self,
        where: Where,
        action: Action,
        state: Literal["intent", "done"],
        taint: Taint,
        result: Any,
        author: str,
        using: Sequence[Row],
    ) -> None:
        plain = {"state": state, "action": asdict(action), "taint": as_plain(taint), "result": result}
        payload = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        self._store.commit(
            [Row(EFFECT, str(where), payload), *using], author=author, reason=f"{state} of {action.kind} at {where}"
        )
