"""Checkpoints that are signed: what LangGraph reads back is what it wrote for this turn, byte for byte, or an error.

The file lies in the cache, and LangGraph decodes what is in it, by the type that the row names. So each value carries the
MAC of the image's key over the turn, the type and the bytes, and nothing is decoded before that is right. A row that was
planted, changed or taken from another turn raises IntegrityError.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from a4ps.errors import IntegrityError
from a4ps.image.seal import MAC_BYTES, same

_SIGNED = "signed:"


class Signer(Protocol):
    """`image.seal.Seal`: the MAC of a value in a turn's checkpoints."""

    def checkpoint(self, turn: str, kind: str, content: bytes) -> bytes: ...


class SignedSerializer(JsonPlusSerializer):
    """Writes and reads the values of one turn's checkpoints; `turn` says whose. Plain data only: msgpack, strict."""

    def __init__(self, signer: Signer) -> None:
        super().__init__(allowed_msgpack_modules=None)
        self._signer = signer
        self.turn = ""

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[tuple[str, ...] | type]) -> SignedSerializer:
        """Called by LangGraph with the types of the state, which needs none beyond plain data."""
        del extra_allowlist
        return self

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        kind, content = super().dumps_typed(obj)
        return _SIGNED + kind, self._signer.checkpoint(self.turn, kind, content) + content

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Raises IntegrityError where the value is not what was written for this turn."""
        kind, content = data
        if isinstance(kind, str) and kind.startswith(_SIGNED) and isinstance(content, bytes):
            kind, mac, content = kind.removeprefix(_SIGNED), content[:MAC_BYTES], content[MAC_BYTES:]
            if same(mac, self._signer.checkpoint(self.turn, kind, content)):
                return super().loads_typed((kind, content))
        raise IntegrityError(
            f"a checkpoint of turn {self.turn} is not what was stored", next_step=f"a4ps ask --resume {self.turn}"
        )
