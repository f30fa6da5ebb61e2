"""The layout of a model: what of it decides how much memory it takes. From a GGUF header or from Ollama's `/api/show`.

Where the source leaves something open, the layout errs towards more memory and says so in `notes`. What it knows of
architectures is what llama.cpp hard-codes and no file says; it is named where it is used, with its place in
github.com/ggml-org/llama.cpp as of November 2026.

The standard library only, as `gguf_child` imports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from a4ps.errors import ModelFileBad
from a4ps.inference.gguf import Omitted, Tensor, tensor_bytes

MAX_LAYERS = 1024
#: Period of the layers that see everything among those with a sliding window, where the file does not say
#: (`set_swa_pattern` in src/models): in each period the last one sees everything.
WINDOW_PERIODS: Mapping[str, int] = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "gpt-oss": 2, "cohere2": 4}
#: Tables that are looked up and not multiplied stay in RAM whatever is offloaded (`dev_input` in src/llama-model.cpp).
#: A model without `output.weight` uses the first one as its output too, and then has it on the card as well.
INPUT_TABLES = ("token_embd.weight", "per_layer_token_embd.weight")


@dataclass(frozen=True, slots=True)
class Layer:
    """One block. `kv_width`: elements kept for each token of the context, keys and values together.

    `window`: the tokens it looks back, 0 for all. `state_bytes`: what a recurrent layer keeps, whatever the context.
    """

    kv_width: int
    window: int = 0
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """All sizes in bytes or elements. `weight_bytes` is all tensors; `table_bytes` the part that stays in RAM.

    `key_length` is one head's; `experts` is 0 for a dense model. `context_length` is what it was trained for, 0 unknown.
    """

    architecture: str
    weight_bytes: int
    table_bytes: int
    layers: tuple[Layer, ...]
    embedding: int
    vocabulary: int
    heads: int
    key_length: int
    context_length: int
    experts: int = 0
    notes: tuple[str, ...] = ()


def layout_of(metadata: Mapping[str, Any], tensors: Iterable[Tensor]) -> Layout:
    """The layout that a header means. Raises `ModelFileBad` where a number that it needs is missing or absurd."""
    return _Reader(metadata, tuple(tensors)).layout()


def layout_of_show(payload: Mapping[str, Any], size_bytes: int) -> Layout:
    """The layout that an answer of `/api/show` means; `size_bytes` is the model's size as `/api/tags` gives it.

    Without `verbose`, arrays are null there; what they would have said is taken from the tensors' shapes, or noted. Older
    servers list no tensors. The weights are `size_bytes` at least. Raises `ModelFileBad`.
    """
    info = payload.get("model_info")
    if not isinstance(info, Mapping):
        raise _bad("is not described by its server: there is no model_info")
    listed = payload.get("tensors")
    tensors = tuple(_shown(entry) for entry in listed) if isinstance(listed, list) else ()
    return _Reader(info, tensors, size_bytes).layout()


def _shown(entry: object) -> Tensor:
    match entry:
        case {"name": str(name), "type": str(kind), "shape": [*shape]} if all(
            isinstance(length, int) and length > 0 for length in shape
        ):
            return Tensor(name, kind, tuple(shape), tensor_bytes(kind, tuple(shape)), 0)
    raise _bad("is described by its server with a tensor that is none")


class _Reader:
    """Metadata and tensors of one model, and what was noted while reading them."""

    def __init__(self, metadata: Mapping[str, Any], tensors: tuple[Tensor, ...], size_bytes: int = 0) -> None:
        self._metadata = metadata
        self._tensors = {tensor.name: tensor for tensor in tensors}
        self._size_bytes = size_bytes
        self._notes: list[str] = []
        architecture = metadata.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            raise _bad("does not name its architecture")
        self._architecture = architecture

    def layout(self) -> Layout:
        count = self._number("block_count", 1, MAX_LAYERS)
        embedding = self._number("embedding_length", 1, 2**20)
        heads = self._per_layer("attention.head_count", count) or (0,) * count
        most = max(heads)
        key = self._number("attention.key_length", 1, 2**16, embedding // most if most else 1)
        weights = max(sum(tensor.size_bytes for tensor in self._tensors.values()), self._size_bytes)
        tied = "output.weight" not in self._tensors
        tables = [name for name in INPUT_TABLES if name in self._tensors and not (tied and name == INPUT_TABLES[0])]
        layers = self._layers(count, embedding, heads, key)
        experts = self._number("expert_count", 0, 2**16, 0)
        if experts:
            self._notes.append(f"a mixture of {experts} experts: all of them are counted, as all of them are loaded")
        return Layout(
            architecture=self._architecture,
            weight_bytes=weights,
            table_bytes=sum(self._tensors[name].size_bytes for name in tables),
            layers=layers,
            embedding=embedding,
            vocabulary=self._vocabulary(),
            heads=most,
            key_length=key,
            context_length=self._number("context_length", 0, 2**40, 0),
            experts=experts,
            notes=tuple(self._notes),
        )

    def _layers(self, count: int, embedding: int, heads: tuple[int, ...], key: int) -> tuple[Layer, ...]:
        value = self._number("attention.value_length", 1, 2**16, key)
        stated = self._per_layer("attention.head_count_kv", count)
        if stated is None and self._given("attention.head_count_kv") and not self._tensors:
            self._notes.append("the number of its key and value heads is not told: as many as heads are counted")
        heads_kv = stated or heads
        windows = self._windows(count)
        shared = self._number("attention.shared_kv_layers", 0, count, 0)
        state = self._state_bytes(embedding)
        parts = self._parts(count)
        layers = []
        for at in range(count):
            recurrent = any(part.startswith(("ssm_", "shortconv.", "time_mix_")) for part in parts[at])
            # A layer of which no tensor is listed is counted, not taken for an empty one.
            attends = not parts[at] or any(_is_attention(part, recurrent) for part in parts[at])
            width = self._width(at, heads_kv[at] * (key + value)) if attends and at < count - shared else 0
            if attends and not any(heads) and stated is None and self._width(at, 0) == 0:
                raise _bad("does not tell how many heads its attention has")
            layers.append(Layer(width, windows[at], state if recurrent else 0))
        if shared:
            self._notes.append(f"its last {shared} layers share the keys and values of others")
        if any(layer.state_bytes for layer in layers):
            self._notes.append(f"{sum(bool(layer.state_bytes) for layer in layers)} of its layers are recurrent")
        return tuple(layers)

    def _parts(self, count: int) -> list[list[str]]:
        """For each layer, the rest of its tensors' names: "attn_k.weight" of "blk.3.attn_k.weight"."""
        parts: list[list[str]] = [[] for _ in range(count)]
        for name in self._tensors:
            block, _, rest = name.removeprefix("blk.").partition(".")
            if name.startswith("blk.") and block.isdecimal() and len(block) < 6 and int(block) < count:
                parts[int(block)].append(rest)
        return parts

    def _width(self, at: int, by_header: int) -> int:
        keys = self._tensors.get(f"blk.{at}.attn_k.weight")
        values = self._tensors.get(f"blk.{at}.attn_v.weight")
        if keys is None or len(keys.shape) < 2:
            return by_header
        # Without a matrix for values, the keys serve as both, and are kept as both.
        return keys.shape[1] + (values.shape[1] if values is not None and len(values.shape) > 1 else keys.shape[1])

    def _windows(self, count: int) -> tuple[int, ...]:
        window = self._number("attention.sliding_window", 0, 2**40, 0)
        if not window:
            return (0,) * count
        key = "attention.sliding_window_pattern"
        pattern = self._metadata.get(self._name(key))
        if isinstance(pattern, tuple | list) and len(pattern) == count:
            return tuple(window if item else 0 for item in pattern)
        period = pattern if type(pattern) is int else WINDOW_PERIODS.get(self._architecture)
        if period is None or (self._given(key) and type(pattern) is not int):
            self._notes.append("which layers have a sliding window is not told: all are counted with the whole context")
            return (0,) * count
        return tuple(0 if period > 0 and at % period == period - 1 else window for at in range(count))

    def _state_bytes(self, embedding: int) -> int:
        """One recurrent layer's state for one sequence, as `n_embd_r` and `n_embd_s` of src/llama-hparams.cpp; in F32."""
        head = self._number("wkv.head_size", 0, 2**20, 0)
        if head:
            return 4 * embedding * (self._number("token_shift_count", 0, 64, 2) + head)
        cached = self._number("shortconv.l_cache", 0, 2**20, 0)
        if cached:
            return 4 * embedding * (cached - 1)
        inner = self._number("ssm.inner_size", 0, 2**24, 0)
        state = self._number("ssm.state_size", 0, 2**20, 0)
        groups = self._number("ssm.group_count", 0, 2**20, 0)
        kernel = self._number("ssm.conv_kernel", 0, 2**16, 0)
        return 4 * (max(kernel - 1, 0) * (inner + 2 * groups * state) + state * inner)

    def _vocabulary(self) -> int:
        table = self._tensors.get(INPUT_TABLES[0])
        if table is not None and len(table.shape) == 2:
            return table.shape[1]
        tokens = self._metadata.get("tokenizer.ggml.tokens")
        if isinstance(tokens, Omitted):
            return tokens.count
        size = self._number("vocab_size", 0, 2**32, 0)
        if not size:
            # The largest vocabulary in use; what is not told must not count as nothing.
            self._notes.append("the size of its vocabulary is not told: 262,144 tokens are counted")
        return size or 262_144

    def _name(self, key: str) -> str:
        return f"{self._architecture}.{key}"

    def _given(self, key: str) -> bool:
        return self._name(key) in self._metadata

    def _number(self, key: str, least: int, most: int, default: int | None = None) -> int:
        value = self._metadata.get(self._name(key))
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _bad(f"gives {self._name(key)[:80]!r} as {str(value)[:40]}; {least} to {most} are possible")
        return value

    def _per_layer(self, key: str, count: int) -> tuple[int, ...] | None:
        """A number for each layer, from one for all or an array; None where it is absent or was not told."""
        value = self._metadata.get(self._name(key))
        if isinstance(value, int) and not isinstance(value, bool):
            value = (value,) * count
        if not isinstance(value, tuple | list) or len(value) < count:
            return None
        numbers = tuple(value[:count])
        if not all(type(number) is int and 0 <= number <= 2**16 for number in numbers):
            raise _bad(f"gives {self._name(key)[:80]!r} a number of heads that is none")
        return numbers


def _is_attention(part: str, recurrent: bool) -> bool:
    """Whether a tensor of that name means that its layer keeps keys and values. Recurrent layers use attn_qkv too."""
    return part.startswith(("attn_k.", "attn_k_b.", "attn_kv_")) or (part.startswith("attn_qkv.") and not recurrent)


def _bad(what: str) -> ModelFileBad:
    return ModelFileBad(what, next_step="take a model that llama.cpp knows, or ask Ollama to run it")
