"""What a layout reads out of headers, and out of what Ollama tells of a model."""

from __future__ import annotations

from typing import Any

import pytest

from a4ps.errors import ModelFileBad
from a4ps.inference.gguf import Omitted, Tensor, tensor_bytes
from a4ps.inference.layout import Layer, layout_of, layout_of_show
from tests.doubles.recordings import steps

SHOWN: dict[str, Any] = steps("06")[0]["response"]["lines"][0]["json"]
HEADS = {"block_count": 4, "embedding_length": 8, "attention__head_count": 2}


def header(architecture: str, **keys: Any) -> dict[str, Any]:
    named = {f"{architecture}.{key.replace('__', '.')}": value for key, value in keys.items()}
    return {"general.architecture": architecture, **named}


def tensor(name: str, *shape: int, kind: str = "F16") -> Tensor:
    return Tensor(name, kind, shape, tensor_bytes(kind, shape), 0)


def layers(metadata: dict[str, Any], *tensors: Tensor) -> tuple[Layer, ...]:
    return layout_of(metadata, tensors).layers


def dense(architecture: str = "llama", **more: Any) -> dict[str, Any]:
    return header(architecture, **{**HEADS, "attention__head_count_kv": 1, "attention__key_length": 4, **more})


def test_a_recorded_answer_of_ollama_gives_the_layout_of_its_model() -> None:
    """Trace 06: four layers, one key and value head of 64, an output table of its own, 512 tokens, F16."""
    layout = layout_of_show(SHOWN, 4_793_686)
    assert layout.layers == (Layer(128),) * 4
    assert (layout.embedding, layout.vocabulary, layout.heads, layout.key_length) == (192, 2048, 3, 64)
    assert layout.context_length == 512
    assert layout.table_bytes == 2048 * 192 * 2
    assert layout.weight_bytes == 4_793_686  # the recording lists its first tensors only
    assert layout.notes == ()


def test_without_a_list_of_tensors_the_weights_are_the_size_of_the_model() -> None:
    payload = dict(SHOWN)
    del payload["tensors"]
    layout = layout_of_show(payload, 4_793_686)
    assert layout.weight_bytes == 4_793_686
    assert layout.layers == (Layer(128),) * 4
    assert layout.vocabulary == 2048


@pytest.mark.parametrize("payload", [{}, {"model_info": None}, {"model_info": {}}, {"model_info": {}, "tensors": [1]}])
def test_an_answer_that_describes_no_model_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(ModelFileBad):
        layout_of_show(payload, 1)


def test_the_width_of_a_layer_is_taken_from_its_tensors_before_the_header() -> None:
    tensors = [
        tensor("blk.0.attn_k.weight", 8, 6),
        tensor("blk.0.attn_v.weight", 8, 5),
        tensor("blk.1.attn_k.weight", 8, 4),
    ]
    tensors.append(tensor("blk.2.ffn_up.weight", 8, 8))  # and nothing that attends; of layer 3, nothing is listed
    assert [layer.kv_width for layer in layers(dense(), *tensors)] == [11, 8, 0, 8]


def test_heads_that_ollama_left_out_are_found_in_the_tensors_or_counted_high() -> None:
    metadata = dense(attention__head_count_kv=None)
    assert layers(metadata, tensor("blk.0.attn_k.weight", 8, 4), tensor("blk.0.attn_v.weight", 8, 4))[0].kv_width == 8
    layout = layout_of(metadata, [])
    assert layout.layers[0].kv_width == 2 * (4 + 4)
    assert "as many as heads are counted" in layout.notes[0]


def test_a_model_of_which_no_number_of_heads_is_known_is_not_taken_for_a_small_one() -> None:
    with pytest.raises(ModelFileBad, match="how many heads"):
        layout_of(dense(attention__head_count=None, attention__head_count_kv=None), [])


def test_windows_follow_the_pattern_of_the_header() -> None:
    patterns: list[tuple[Any, list[int]]] = [
        ((True, True, False, True), [64, 64, 0, 64]),
        ([1, 0, 1, 0], [64, 0, 64, 0]),
        (2, [64, 0, 64, 0]),
        (0, [64, 64, 64, 64]),
    ]
    for pattern, expected in patterns:
        metadata = dense(attention__sliding_window=64, attention__sliding_window_pattern=pattern)
        assert [layer.window for layer in layers(metadata)] == expected, pattern


def test_windows_that_only_llama_cpp_knows_are_known_too() -> None:
    assert [layer.window for layer in layers(dense("gemma2", attention__sliding_window=64))] == [64, 0, 64, 0]


@pytest.mark.parametrize("pattern", [None, Omitted(4), (True,)])
def test_a_pattern_that_is_not_told_counts_as_none(pattern: object) -> None:
    metadata = dense("gemma4", attention__sliding_window=64, attention__sliding_window_pattern=pattern)
    layout = layout_of(metadata, [])
    assert [layer.window for layer in layout.layers] == [0] * 4
    assert "whole context" in layout.notes[0]


def test_a_window_without_any_pattern_is_not_used() -> None:
    assert [layer.window for layer in layers(dense("mistral", attention__sliding_window=64))] == [0] * 4


def test_layers_that_share_their_keys_and_values_keep_none() -> None:
    assert [layer.kv_width for layer in layers(dense("gemma4", attention__shared_kv_layers=1))] == [8, 8, 8, 0]


def test_recurrent_layers_keep_a_state_and_no_keys() -> None:
    metadata = dense("qwen35", ssm__inner_size=16, ssm__state_size=4, ssm__group_count=2, ssm__conv_kernel=4)
    tensors = [tensor("blk.0.ssm_conv1d.weight", 4, 32), tensor("blk.0.attn_qkv.weight", 8, 32)]
    tensors += [tensor("blk.1.attn_k.weight", 8, 4), tensor("blk.1.attn_v.weight", 8, 4)]
    tensors.append(tensor("blk.2.ffn_up.weight", 8, 8))
    assert layers(metadata, *tensors)[:3] == (Layer(0, 0, 4 * (3 * 32 + 64)), Layer(8), Layer(0))


def test_other_recurrent_states_are_counted() -> None:
    convolution = dense("lfm2", shortconv__l_cache=3)
    assert layers(convolution, tensor("blk.0.shortconv.conv.weight", 3, 8))[0].state_bytes == 4 * 8 * 2
    rwkv = dense("rwkv7", wkv__head_size=4, token_shift_count=2)
    assert layers(rwkv, tensor("blk.0.time_mix_key.weight", 8, 8))[0].state_bytes == 4 * 8 * (2 + 4)


def test_tables_stay_in_ram_unless_they_are_the_output_too() -> None:
    table, output = tensor("token_embd.weight", 8, 100), tensor("output.weight", 8, 100)
    per_layer = tensor("per_layer_token_embd.weight", 8, 300)
    assert layout_of(dense(), [table, output]).table_bytes == table.size_bytes
    assert layout_of(dense(), [table]).table_bytes == 0
    assert layout_of(dense(), [table, per_layer]).table_bytes == per_layer.size_bytes


def test_the_vocabulary_is_found_wherever_it_is_told() -> None:
    assert layout_of(dense(), [tensor("token_embd.weight", 8, 100)]).vocabulary == 100
    assert layout_of({**dense(), "tokenizer.ggml.tokens": Omitted(90)}, []).vocabulary == 90
    assert layout_of(dense(vocab_size=80), []).vocabulary == 80
    assert layout_of(dense(), []).vocabulary == 262_144


def test_a_mixture_of_experts_is_counted_whole_and_said() -> None:
    layout = layout_of(dense("qwen3moe", expert_count=128), [tensor("blk.0.ffn_up_exps.weight", 8, 8, 128)])
    assert layout.experts == 128
    assert layout.weight_bytes == 8 * 8 * 128 * 2
    assert "all of them are loaded" in layout.notes[0]


@pytest.mark.parametrize("key", ["block_count", "embedding_length", "attention__key_length", "expert_count"])
@pytest.mark.parametrize("value", [-1, 2**64, True, "four"])
def test_absurd_numbers_are_refused(key: str, value: object) -> None:
    keys: dict[str, Any] = {key: value}
    with pytest.raises(ModelFileBad, match=key.replace("__", ".")):
        layout_of(dense(**keys), [])


@pytest.mark.parametrize("heads", [-1, 2**64, (1, 1, 1, -1), (1, 1, 1, "one")])
def test_absurd_numbers_of_heads_are_refused(heads: object) -> None:
    with pytest.raises(ModelFileBad, match="head_count_kv"):
        layout_of(dense(attention__head_count_kv=heads), [])
