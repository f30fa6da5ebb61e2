"""Checkpoints that are signed: what LangGraph reads back is what it wrote for this turn, byte for byte, or an error.

The file lies in the cache, and LangGraph decodes what is in it, by the type that the row names. So each value carries the
MAC of the image's key over the turn, the type and the bytes, and nothing is decoded before that is right. A row that was
planted, changed or taken from another turn raises IntegrityError.
"""

from __future__ import annotations

from typing import Any, Protocol

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from a4ps.errors import IntegrityError
from a4ps.image.seal import MAC_BYTES, same

_SIGNED = "signed:"


class Signer(Protocol):
    """`image.seal.Seal`: the MAC of a value in a turn's checkpoints."""

    def checkpoint(self, turn: str, kind: str, content: bytes) -> bytes: ...


class SignedSerializer(SerializerProtocol):
    """Writes and reads the values of one turn's checkpoints; `turn` says whose. Plain data only, as strict msgpack."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._plain = JsonPlusSerializer()
        self.turn = ""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        kind, content = self._plain.dumps_typed(obj)
        return _SIGNED + kind, self._signer.checkpoint(self.turn, kind, content) + content

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Raises IntegrityError where the value is not what was written for this turn."""
        kind, content = data
        if isinstance(kind, str) and kind.startswith(_SIGNED) and isinstance(content, bytes):
            kind, mac, content = kind.removeprefix(_SIGNED), content[:MAC_BYTES], content[MAC_BYTES:]
            if same(mac, self._signer.checkpoint(self.turn, kind, content)):
                return self._plain.loads_typed((kind, content))
        raise IntegrityError(
            f"a checkpoint of turn {self.turn} is not what was stored", next_step=f"a4ps ask --resume {self.turn}"
        )
