"""Which weights each model had when it was first used: rows of kind `model`, so that other weights are noticed.

    model    key: the model's name; payload: JSON, {"digest": "sha256:…"}

A model whose weights have changed is told and recorded anew: fetching a newer version is how that happens for good
reasons, and the history of the rows says when. What is believed is the digest that the engine gives.
"""

from __future__ import annotations

import json

from a4ps.errors import A4PSError
from a4ps.image.rows import Row
from a4ps.image.store import Store

MODEL = "model"


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

    def known(self) -> dict[str, str]:
        """Model → digest, as recorded last."""
        rows = (self._store.head(MODEL, name) for name in self._store.heads(MODEL))
        return {row.key: str(json.loads(row.payload)["digest"]) for row in rows if row is not None}


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
