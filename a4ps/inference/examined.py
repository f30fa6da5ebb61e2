"""What a GGUF file holds, as far as anyone asks: the small typed value that `gguf_child` sends back about a file.

The standard library only, as the child imports it. Text from a file is shortened and freed of control characters here,
because it is shown on terminals.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from a4ps.errors import ModelFileBad
from a4ps.inference.gguf import Header
from a4ps.inference.layout import Layout, layout_of

#: "model" speaks, or embeds; "adapter" is a LoRA; "projector" is an image or audio encoder; "other" is for something else.
Kind: TypeAlias = Literal["model", "adapter", "projector", "other"]
TEXT_CHARS = 120
#: `llama_ftype` of llama.cpp's include/llama.h → the name that users know.
FILE_TYPES: Mapping[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
    39: "NVFP4",
    40: "Q1_0",
}


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA: `rank` is the largest of its pairs', `pairs` how many tensors it changes."""

    rank: int
    alpha: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Examined:
    """A well-formed GGUF file. Unknown text is "", unknown numbers 0.

    `architecture` of an adapter is that of the base it is for. `layout` is None for what is not a model, and for a model
    whose memory cannot be told; `notes` then says why. `parts` is more than 1 for one file of a model that was split.
    `file_bytes` and `expected_bytes` differ where something follows the last tensor.
    """

    kind: Kind
    architecture: str
    name: str
    quantisation: str
    tokenizer: str
    has_chat_template: bool
    context_length: int
    parameters: int
    parts: int
    file_bytes: int
    expected_bytes: int
    layout: Layout | None
    adapter: Adapter | None
    notes: tuple[str, ...]


def describe(header: Header) -> Examined:
    """What `header` says. Raises `ModelFileBad` where it names no architecture, has no tensors or an unpaired LoRA."""
    metadata = header.metadata
    architecture = _text(metadata, "general.architecture")
    if not architecture:
        raise _bad("does not name its architecture")
    if not header.tensors:
        raise _bad("holds no tensors: a vocabulary, but no model")
    kind = _kind(_text(metadata, "general.type"), architecture)
    notes: list[str] = []
    layout = None
    if kind == "model":
        try:
            layout = layout_of(metadata, header.tensors)
        except ModelFileBad as error:
            notes.append(f"how much memory it needs cannot be told: it {error.message}")
    return Examined(
        kind=kind,
        architecture=architecture,
        name=_text(metadata, "general.name"),
        quantisation=_quantisation(header),
        tokenizer=_text(metadata, "tokenizer.ggml.model"),
        has_chat_template=bool(metadata.get("tokenizer.chat_template")),
        context_length=_count(metadata, f"{architecture}.context_length"),
        parameters=sum(math.prod(tensor.shape) for tensor in header.tensors),
        parts=max(_count(metadata, "split.count"), 1),
        file_bytes=header.file_bytes,
        expected_bytes=header.expected_bytes,
        layout=layout,
        adapter=_adapter(header) if kind == "adapter" else None,
        notes=tuple(notes),
    )


def _kind(general_type: str, architecture: str) -> Kind:
    if general_type == "adapter":
        return "adapter"
    if general_type == "mmproj" or architecture == "clip":
        return "projector"
    return "model" if general_type in ("", "model") else "other"


def _adapter(header: Header) -> Adapter:
    """Raises `ModelFileBad` unless the file is a LoRA of whole pairs whose ranks agree."""
    if _text(header.metadata, "adapter.type") != "lora":
        raise _bad(f"is an adapter of the unknown type {_text(header.metadata, 'adapter.type')!r}")
    alpha = header.metadata.get("adapter.lora.alpha", 0.0)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise _bad(f"is a LoRA whose alpha is {str(alpha)[:40]}")
    halves = {tensor.name: tensor for tensor in header.tensors}
    ranks = []
    for name, first in halves.items():
        base, _, half = name.rpartition(".")
        second = halves.get(f"{base}.lora_b" if half == "lora_a" else f"{base}.lora_a")
        if half not in ("lora_a", "lora_b") or second is None:
            raise _bad(f"is a LoRA with the tensor {name!r}, to which no other belongs")
        if half == "lora_a":
            # Pairs of the token table are stored the other way round (src/llama-adapter.cpp).
            rank = second.shape[0]
            if rank not in first.shape[:2]:
                raise _bad(f"is a LoRA whose pair {base!r} has two ranks: {first.shape} and {second.shape}")
            ranks.append(rank)
    return Adapter(max(ranks), float(alpha), len(ranks))


def _quantisation(header: Header) -> str:
    """By the file's own word, else the type that most of its bytes have."""
    stated = header.metadata.get("general.file_type")
    if type(stated) is int and stated in FILE_TYPES:
        return FILE_TYPES[stated]
    sizes: dict[str, int] = {}
    for tensor in header.tensors:
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.size_bytes
    return max(sizes, key=lambda name: sizes[name])


def _text(metadata: Mapping[str, object], key: str) -> str:
    value = metadata.get(key)
    return shown(value) if isinstance(value, str) else ""


def shown(text: str, limit: int = TEXT_CHARS) -> str:
    """`text` as one line of at most `limit` printable characters."""
    return re.sub(r"\s+", " ", "".join(char if char.isprintable() else " " for char in text[:limit])).strip()


def _count(metadata: Mapping[str, object], key: str) -> int:
    value = metadata.get(key)
    return value if type(value) is int and 0 <= value < 2**40 else 0


def _bad(what: str) -> ModelFileBad:
    return ModelFileBad(what, next_step="take another file of this model")
