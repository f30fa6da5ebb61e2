"""How much memory a model needs for a context, what is there, and what would fit instead. Pure arithmetic.

    needed = weights on the card + keys and values (F16) + recurrent state + compute buffers

**Weights, keys and values, state** are exact for llama.cpp and Ollama with one sequence: they follow from the header.
llama.cpp's own report of three made-up models (dense, and with a sliding window) had the same figures to the hundredth of
a MiB.

**Compute buffers** are an estimate that errs upwards, by the formula that Ollama used for fully offloaded models
(`GraphSize` in fs/ggml/ggml.go, its Gemma case, which holds the most): the larger of the logits of one batch and the
largest attention layer. With flash attention, which both engines now choose by themselves, the scores of all heads are
never stored; what grows with the context is their mask, in F32 and F16. For Qwen3.5-9B at 262,144 tokens this gives
800 MiB where a published log of llama.cpp has 808; for those small models 64 to 100 MiB where the newest has 22 to 48.

**Not counted**: the CUDA context (300 to 450 MiB, which the margin of the budget is for), the work of an image encoder
(its weights are counted), several sequences at once, and what lies in RAM. Cards older than NVIDIA's Turing (2018) have no
flash attention for every model and need more for a long context.

Sources as of November 2026: github.com/ollama/ollama, github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from a4ps.errors import ModelTooLarge
from a4ps.inference.layout import Layer, Layout

#: Tokens of a prompt that are worked on at once: the default of llama.cpp's n_ubatch and of Ollama's num_batch.
BATCH = 512
CACHE_BYTES = 2
#: llama.cpp pads a cache's cells to this (src/llama-kv-cache-iswa.cpp).
PADDED_CELLS = 256
#: Kept free of what is free, for the driver's own needs and for what the desktop takes later.
MARGIN = 0.10
LEAST_CTX = 2048
CTX_STEP = 1024
#: What a model of the catalog is taken to need beside its download: 8,192 tokens of context and the compute buffers of
#: a 4B to 9B model (0.84 GB for Qwen3.5-9B), rounded up. Only for models of which nothing but the size is known.
BESIDE_BYTES = 10**9
#: Architectures for which the engines do without flash attention (`SupportsFlashAttention` in Ollama's fs/ggml/ggml.go,
#: src/llama-context.cpp).
WITHOUT_FLASH = frozenset({"gemma2", "grok"})


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one loaded model takes of the card, part by part, in bytes."""

    weight_bytes: int
    kv_bytes: int
    state_bytes: int
    compute_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weight_bytes + self.kv_bytes + self.state_bytes + self.compute_bytes


def footprint(layout: Layout, num_ctx: int) -> Footprint:
    """What `layout` takes with a context of `num_ctx` tokens, all of it on the card but the input tables."""
    return Footprint(
        weight_bytes=layout.weight_bytes - layout.table_bytes,
        kv_bytes=sum(layer.kv_width * _cells(layer, num_ctx) for layer in layout.layers) * CACHE_BYTES,
        state_bytes=sum(layer.state_bytes for layer in layout.layers),
        compute_bytes=_compute_bytes(layout, num_ctx),
    )


def budget_bytes(free_bytes: int, set_bytes: int = 0) -> int:
    """What models may take: the setting where there is one, else what is free now less the margin."""
    return set_bytes or int(free_bytes * (1 - MARGIN))


def largest_ctx(layout: Layout, budget: int, wanted: int) -> int:
    """The largest context up to `wanted` tokens that fits `budget` bytes: a multiple of 1,024, at least 2,048, else 0."""
    low, high = LEAST_CTX // CTX_STEP, max(wanted, LEAST_CTX) // CTX_STEP
    if footprint(layout, LEAST_CTX).total_bytes > budget:
        return 0
    while low < high:
        middle = (low + high + 1) // 2
        if footprint(layout, middle * CTX_STEP).total_bytes <= budget:
            low = middle
        else:
            high = middle - 1
    return low * CTX_STEP


def check_fits(model: str, layout: Layout, num_ctx: int, budget: int, sizes_gb: Mapping[str, float]) -> Footprint:
    """The footprint, if it fits `budget` bytes. Raises `ModelTooLarge`, which proposes what would fit.

    That is a smaller context, or else the models of `sizes_gb` (name → GB of download, as in the catalog).
    """
    needed = footprint(layout, num_ctx)
    if needed.total_bytes <= budget:
        return needed
    smaller = largest_ctx(layout, budget, num_ctx)
    if smaller and smaller < num_ctx:
        step = f"it fits with a context of {smaller:,} tokens: a4ps config set num_ctx {smaller}"
    else:
        smaller = 0
        others = [f"{name} ({size:g} GB)" for name, size in fitting(sizes_gb, budget).items() if name != model]
        step = f"these would fit: {', '.join(others)}" if others else "take a smaller or more quantised model"
    raise ModelTooLarge(
        f"{model} needs {_gb(needed.total_bytes)} with a context of {num_ctx:,} tokens (weights "
        f"{_gb(needed.weight_bytes)}, context {_gb(needed.kv_bytes + needed.state_bytes)}, work "
        f"{_gb(needed.compute_bytes)}); there are {_gb(budget)} for models",
        needed_bytes=needed.total_bytes,
        budget_bytes=budget,
        num_ctx=smaller,
        next_step=step,
    )


def fitting(sizes_gb: Mapping[str, float], budget: int) -> dict[str, float]:
    """Those of `sizes_gb` that should fit `budget` bytes with an ordinary context, the largest first."""
    fits = {name: size for name, size in sizes_gb.items() if size * 1e9 + BESIDE_BYTES <= budget}
    return dict(sorted(fits.items(), key=lambda entry: (-entry[1], entry[0])))


def ctx_after_spill(layout: Layout | None, num_ctx: int, size_bytes: int, size_vram_bytes: int) -> int | None:
    """The context to load a spilled model with, once; None where none was spilled or a smaller one would not help.

    Spilled means that the engine put a part of it into RAM: of `size_bytes` only `size_vram_bytes` are on the card.
    Nothing on the card at all is a machine without one. With a layout, the context is reduced by what must be saved,
    without one it is halved. The caller remembers that it reduced: this function does not know of earlier loads.
    """
    if not 0 < size_vram_bytes < size_bytes:
        return None
    if layout is None:
        smaller = num_ctx // 2 // CTX_STEP * CTX_STEP
    else:
        spilled = size_bytes - size_vram_bytes
        smaller = largest_ctx(layout, footprint(layout, num_ctx).total_bytes - spilled, num_ctx)
    return smaller if LEAST_CTX <= smaller < num_ctx else None


def _cells(layer: Layer, num_ctx: int) -> int:
    tokens = min(num_ctx, layer.window + BATCH) if layer.window else num_ctx
    return -(-tokens // PADDED_CELLS) * PADDED_CELLS


def _compute_bytes(layout: Layout, num_ctx: int) -> int:
    logits = 4 * BATCH * (layout.embedding + layout.vocabulary)
    scores = 4 * num_ctx * (1 + layout.heads) if layout.architecture in WITHOUT_FLASH else 6 * num_ctx
    attention = BATCH * (scores + 4 * (2 + 2 * layout.embedding + 2 * layout.key_length * layout.heads))
    return max(logits, attention)


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
