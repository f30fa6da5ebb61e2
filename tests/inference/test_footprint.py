"""What a model needs, what there is, and what is proposed when it does not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import ModelTooLarge
from a4ps.inference.footprint import (
    BATCH,
    budget_bytes,
    check_fits,
    ctx_after_spill,
    fitting,
    footprint,
    largest_ctx,
)
from a4ps.inference.layout import Layer, Layout

MIB = 2**20
#: Qwen3.5-9B, Q4_K_M: 24 recurrent layers and 8 with four key and value heads of 256; from its header.
QWEN_9B = Layout(
    architecture="qwen35",
    weight_bytes=5607 * MIB,
    table_bytes=546 * MIB,
    layers=(*(Layer(0, state_bytes=4 * (3 * (4096 + 2 * 16 * 128) + 128 * 4096)),) * 24, *(Layer(2048),) * 8),
    embedding=4096,
    vocabulary=248_320,
    heads=16,
    key_length=256,
    context_length=262_144,
)
DENSE = Layout("llama", 4_000_000_000, 0, (Layer(2048),) * 32, 4096, 32_000, 32, 128, 131_072)


def test_a_footprint_is_what_llama_cpp_reported_for_that_model() -> None:
    """A published log at 262,144 tokens: 5,061 MiB of weights on the card, keys and values 4,352 MiB at 8.5 bits each,
    a state of 100.5 MiB for two sequences, and compute buffers of 808 MiB."""
    needed = footprint(QWEN_9B, 262_144)
    assert needed.weight_bytes == 5061 * MIB
    assert needed.kv_bytes * 8.5 / 16 == 4352 * MIB
    assert needed.state_bytes * 2 == 100.5 * MIB
    assert 0.98 < needed.compute_bytes / (808 * MIB) < 1.1
    assert needed.total_bytes == 5061 * MIB + 8192 * MIB + 50.25 * MIB + needed.compute_bytes


def test_a_sliding_window_bounds_what_its_layer_keeps() -> None:
    layout = replace(DENSE, layers=(Layer(100, window=1000), Layer(100)))
    assert footprint(layout, 65_536).kv_bytes == 2 * 100 * (1536 + 65_536)  # 1,000 + a batch of 512, padded to 256
    assert footprint(layout, 1000).kv_bytes == 2 * 100 * 1024 * 2


def test_without_flash_attention_the_scores_of_every_head_are_stored() -> None:
    without = replace(DENSE, architecture="gemma2")
    scores = 4 * BATCH * 65_536 * DENSE.heads
    assert footprint(without, 65_536).compute_bytes > scores > footprint(DENSE, 65_536).compute_bytes


def test_a_sliding_window_takes_what_llama_cpp_reported() -> None:
    """xllamacpp's log of a made-up Gemma 3 (8 layers, a window of 1,024) at 32,768 tokens: 16 MiB and 5.25 MiB."""
    layers = (*(Layer(256, window=1024),) * 5, Layer(256), *(Layer(256, window=1024),) * 2)
    assert footprint(replace(DENSE, layers=layers), 32_768).kv_bytes == 21.25 * MIB


def test_a_tenth_of_what_is_free_stays_free_unless_the_setting_says_otherwise() -> None:
    assert budget_bytes(8_000_000_000) == 7_200_000_000
    assert budget_bytes(8_000_000_000, 3_000_000_000) == 3_000_000_000
    assert budget_bytes(0) == 0


def test_what_fits_is_let_through_with_its_footprint() -> None:
    assert check_fits("m", QWEN_9B, 8192, 7_000_000_000, {}) == footprint(QWEN_9B, 8192)


def test_what_does_not_fit_is_refused_with_the_context_that_would() -> None:
    budget = footprint(DENSE, 6144).total_bytes
    with pytest.raises(ModelTooLarge) as caught:
        check_fits("big:8b", DENSE, 32_768, budget, {"small:1b": 0.5})
    error = caught.value
    assert error.num_ctx == 6144
    assert "a4ps config set num_ctx 6144" in error.next_step
    assert "big:8b needs" in error.message
    assert "32,768 tokens" in error.message
    assert (error.needed_bytes, error.budget_bytes) == (footprint(DENSE, 32_768).total_bytes, budget)


def test_what_fits_with_no_context_is_refused_with_the_models_that_would_fit() -> None:
    sizes = {"huge": 20.0, "small": 1.0, "smaller": 0.5, "edge": 2.0}
    with pytest.raises(ModelTooLarge) as caught:
        check_fits("big:8b", DENSE, 32_768, 3_000_000_000, sizes)
    assert caught.value.num_ctx == 0
    assert caught.value.next_step == "these would fit: edge (2 GB), small (1 GB), smaller (0.5 GB)"
    with pytest.raises(ModelTooLarge) as caught:
        check_fits("big:8b", DENSE, 2048, 10, sizes)
    assert "smaller or more quantised" in caught.value.next_step


def test_the_models_that_fit_leave_room_for_a_context() -> None:
    assert fitting({"a": 2.0, "b": 2.1}, 3_000_000_000) == {"a": 2.0}


@given(st.integers(0, 20 * 10**9), st.integers(2048, 300_000))
def test_the_proposed_context_is_the_largest_that_fits(budget: int, wanted: int) -> None:
    found = largest_ctx(DENSE, budget, wanted)
    if found == 0:
        assert footprint(DENSE, 2048).total_bytes > budget
    else:
        assert 2048 <= found <= wanted
        assert found % 1024 == 0
        assert footprint(DENSE, found).total_bytes <= budget
        assert found + 1024 > wanted or footprint(DENSE, found + 1024).total_bytes > budget


def test_after_a_spill_the_context_shrinks_by_what_was_spilled() -> None:
    whole = footprint(DENSE, 32_768).total_bytes
    spilled = 1_000_000_000
    smaller = ctx_after_spill(DENSE, 32_768, whole, whole - spilled)
    assert smaller == largest_ctx(DENSE, whole - spilled, 32_768)
    assert smaller is not None
    assert 2048 <= smaller < 32_768


def test_without_a_layout_a_spilled_context_is_halved() -> None:
    assert ctx_after_spill(None, 8192, 100, 90) == 4096
    assert ctx_after_spill(None, 5000, 100, 90) == 2048
    assert ctx_after_spill(None, 3000, 100, 90) is None


def test_nothing_shrinks_where_nothing_spilled_or_it_would_not_help() -> None:
    assert ctx_after_spill(DENSE, 8192, 100, 100) is None
    assert ctx_after_spill(DENSE, 8192, 100, 0) is None  # a machine without a card
    whole = footprint(DENSE, 4096).total_bytes
    assert ctx_after_spill(DENSE, 4096, whole, whole - 3_000_000_000) is None
