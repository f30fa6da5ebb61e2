"""Writes small GGUF files, right or wrong on purpose. The bytes of tensors are zeros: nobody loads them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

ALIGNMENT = 32
U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
_FORMS = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?", U64: "<Q"}


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def value(given: Any) -> bytes:
    """A metadata value with its type: ints are u32, lists arrays of what their first item is, bytes are kept as given."""
    match given:
        case bytes():
            return given
        case [first, *_]:
            kind, items = _typed(first)[0], b"".join(_typed(item)[1] for item in given)
            return struct.pack("<IIQ", ARRAY, kind, len(given)) + items
    kind, raw = _typed(given)
    return struct.pack("<I", kind) + raw


def _typed(given: Any) -> tuple[int, bytes]:
    match given:
        case bool():
            return BOOL, struct.pack("<?", given)
        case int() if given >= 2**32:
            return U64, struct.pack("<Q", given)
        case int():
            return U32, struct.pack("<I", given)
        case float():
            return F32, struct.pack("<f", given)
    return STRING, text(given)


class Tensor:
    """A tensor to write: F32 (0) unless told otherwise. `offset` None puts it where it belongs."""

    def __init__(self, name: str, shape: Sequence[int], kind: int = 0, size: int | None = None) -> None:
        self.name, self.shape, self.kind, self.offset = name, tuple(shape), kind, None
        count = 1
        for length in shape:
            count *= length
        self.size = count * {0: 4, 1: 2, 30: 2}.get(kind, 0) if size is None else size


def gguf(
    metadata: Mapping[str, Any],
    tensors: Sequence[Tensor],
    *,
    version: int = 3,
    counts: tuple[int, int] | None = None,
    alignment: int = ALIGNMENT,
) -> bytes:
    """The bytes of a file. `counts` overrides the numbers of tensors and of keys that it claims."""
    tensor_count, key_count = counts or (len(tensors), len(metadata))
    out = [b"GGUF", struct.pack("<IQQ", version, tensor_count, key_count)]
    out += [text(key) + value(given) for key, given in metadata.items()]
    at = 0
    for tensor in tensors:
        shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        out.append(text(tensor.name) + shape + struct.pack("<IQ", tensor.kind, at))
        at += -(-tensor.size // alignment) * alignment
    head = b"".join(out)
    return head + b"\0" * (-len(head) % alignment) + b"\0" * at


def model(**more: Any) -> bytes:
    """A tiny, complete qwen3: two layers of two heads of four, a vocabulary of 16. `more` adds or replaces keys."""
    metadata = {
        "general.architecture": "qwen3",
        "general.type": "model",
        "general.name": "Tiny",
        "general.file_type": 1,
        "qwen3.block_count": 2,
        "qwen3.context_length": 512,
        "qwen3.embedding_length": 8,
        "qwen3.feed_forward_length": 16,
        "qwen3.attention.head_count": 2,
        "qwen3.attention.head_count_kv": 1,
        "qwen3.attention.key_length": 4,
        "qwen3.attention.value_length": 4,
        "qwen3.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": [f"token{number}" for number in range(16)],
        "tokenizer.ggml.token_type": [1] * 16,
        "tokenizer.chat_template": "{% for message in messages %}{{ message.content }}{% endfor %}",
        **more,
    }
    tensors = [Tensor("token_embd.weight", (8, 16), 1), Tensor("output_norm.weight", (8,))]
    tensors.append(Tensor("output.weight", (8, 16), 1))
    for layer in range(2):
        shapes = {"attn_q": (8, 8), "attn_k": (8, 4), "attn_v": (8, 4), "attn_output": (8, 8), "ffn_up": (8, 16)}
        tensors += [Tensor(f"blk.{layer}.{name}.weight", shape, 1) for name, shape in shapes.items()]
    return gguf(metadata, tensors)


def adapter(architecture: str = "qwen3", rank: int = 4) -> bytes:
    """A LoRA of two pairs for `architecture`."""
    metadata = {
        "general.architecture": architecture,
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
    }
    tensors = []
    for layer in range(2):
        base = f"blk.{layer}.attn_q.weight"
        tensors += [Tensor(f"{base}.lora_a", (8, rank)), Tensor(f"{base}.lora_b", (rank, 8))]
    return gguf(metadata, tensors)
