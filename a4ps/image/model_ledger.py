"""What is remembered of each model: which weights it had when it was first used, and which context its card can hold.

    model           key: the model's name; payload: JSON, {"digest": "sha256:…"}
    model-context   key: the model's name; payload: JSON, {"num_ctx": 4096}, after it had spilled with a larger one

A model whose weights have changed is told and recorded anew: fetching a newer version is how that happens for good
reasons, and the history of the rows says when. What is believed is the digest that the engine gives.
"""

from __future__ import annotations

import json
import logging

from a4ps.errors import A4PSError
from a4ps.image.rows import Row
from a4ps.image.store import Store

MODEL = "model"
CONTEXT = "model-context"


_log = logging.getLogger(__name__)


class ModelLedger:
    """Reads and writes one store. A `model_manager.Ledger`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check(self, model: str, digest: str) -> str:
        """See `model_manager.Ledger`. A store that takes no writes leaves the record as it was."""
        known = self._store.head(MODEL, model)
        before = "" if known is None else str(json.loads(known.payload)["digest"])
        if before == digest:
            return ""
        row = Row(MODEL, model, json.dumps({"digest": digest}).encode())
        why = f"{model} has the weights {_short(digest)}"
        try:
            self._store.commit([row], author="package", reason=why)
        except A4PSError as error:
            return f"The weights of {model} could not be recorded: {error.message}"
        if known is None:
            return ""
        return f"{model} is not what it was: its weights were {_short(before)} on {known.at:%Y-%m-%d}, now {_short(digest)}."

    def context(self, model: str) -> int:
        """See `model_manager.Ledger`."""
        row = self._store.head(CONTEXT, model)
        return 0 if row is None else int(json.loads(row.payload)["num_ctx"])

    def keep_context(self, model: str, num_ctx: int) -> None:
        """See `model_manager.Ledger`. A store that takes no writes costs the memory of it, not the turn."""
        row = Row(CONTEXT, model, json.dumps({"num_ctx": num_ctx}).encode())
        try:
            self._store.commit([row], author="package", reason=f"{model} fits the card with {num_ctx} tokens")
        except A4PSError as error:
            _log.warning("the context of %s could not be recorded: %s", model, error.message)

    def known(self) -> dict[str, str]:
        """Model → digest, as recorded last."""
        rows = (self._store.head(MODEL, name) for name in self._store.heads(MODEL))
        return {row.key: str(json.loads(row.payload)["digest"]) for row in rows if row is not None}


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
