"""The reader of GGUF headers: what it gives, and that no byte of a file can mislead it."""

from __future__ import annotations

import random
import struct

import pytest

from a4ps.errors import ModelFileBad
from a4ps.inference.examined import describe
from a4ps.inference.gguf import (
    BLOCKS,
    HEADER_BYTES,
    KEPT_ITEMS,
    MAX_KEYS,
    MAX_STRINGS,
    MAX_TENSORS,
    Header,
    Omitted,
    read_header,
    tensor_bytes,
)
from tests.doubles.gguf_file import ARRAY, STRING, U32, Tensor, adapter, gguf, model, text
from tests.doubles.gguf_mutants import mutants

ARCH = {"general.architecture": "qwen3"}
ONE = [Tensor("a", (8,))]


def read(data: bytes, file_bytes: int | None = None) -> Header:
    return read_header(data, len(data) if file_bytes is None else file_bytes)


def refused(data: bytes, file_bytes: int | None = None) -> str:
    with pytest.raises(ModelFileBad) as caught:
        read(data, file_bytes)
    assert caught.value.next_step
    return caught.value.message


def array(kind: int, count: int, items: bytes = b"") -> bytes:
    return struct.pack("<IIQ", ARRAY, kind, count) + items


def test_a_header_gives_metadata_and_tensors() -> None:
    header = read(model())
    assert header.version == 3
    assert header.metadata["general.name"] == "Tiny"
    assert header.metadata["qwen3.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)
    assert header.metadata["tokenizer.ggml.token_type"] == (1,) * 16
    assert header.metadata["tokenizer.ggml.tokens"] == Omitted(16)
    table = header.tensors[0]
    assert (table.name, table.type, table.shape, table.size_bytes) == ("token_embd.weight", "F16", (8, 16), 256)
    assert header.expected_bytes == header.file_bytes == len(model())


def test_version_2_reads_like_version_3_and_no_other_is_read() -> None:
    assert read(gguf(ARCH, ONE, version=2)).version == 2
    assert "version 1" in refused(gguf(ARCH, ONE, version=1))
    assert "version 4" in refused(gguf(ARCH, ONE, version=4))
    assert "byte order" in refused(b"GGUF" + struct.pack(">I", 3) + bytes(40))


@pytest.mark.parametrize("data", [b"", b"GG", b"PK\x03\x04" + bytes(60), b"# A text file\n" * 9, bytes(100)])
def test_what_is_no_gguf_file_is_called_that(data: bytes) -> None:
    assert ("is no GGUF file" if len(data) > 3 else "ends within") in refused(data)


def test_a_file_cut_anywhere_is_refused() -> None:
    whole = model()
    for length in range(len(whole)):
        if length < read(whole).expected_bytes:
            refused(whole[:length])


def test_a_file_without_its_last_tensors_says_how_much_is_missing() -> None:
    whole = model()
    assert f"is cut: it has {len(whole) - 100} of {len(whole)} bytes" in refused(whole[:-100])


def test_bytes_after_the_last_tensor_are_allowed_and_told() -> None:
    header = read(model() + b"more")
    assert header.file_bytes == header.expected_bytes + 4


@pytest.mark.parametrize("count", [MAX_KEYS + 1, 2**32, 2**63, 2**64 - 1])
def test_absurd_counts_are_refused_before_anything_is_read(count: int) -> None:
    assert "keys" in refused(gguf(ARCH, ONE, counts=(1, count)))
    assert "tensors" in refused(gguf(ARCH, ONE, counts=(max(count, MAX_TENSORS + 1), 1)))


@pytest.mark.parametrize("length", [10_000, 2**31, 2**63, 2**64 - 1])
def test_no_length_is_believed(length: int) -> None:
    blown = struct.pack("<Q", length)
    assert "ends within 'k'" in refused(gguf({"k": struct.pack("<I", STRING) + blown}, ONE))
    assert "ends within 'k'" in refused(gguf({"k": array(STRING, 1, blown)}, ONE))
    assert "ends within 'k'" in refused(gguf({"k": array(U32, length)}, ONE))
    assert "ends within" in refused(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + blown + b"key")


def test_more_strings_than_any_model_has_are_not_walked_through() -> None:
    assert "strings" in refused(gguf({"k": array(STRING, MAX_STRINGS + 1)}, ONE))
    half = MAX_STRINGS // 2 + 1
    assert "strings" in refused(gguf({"k": array(STRING, half, bytes(8 * half)), "l": array(STRING, half)}, ONE))


def test_more_text_than_any_model_has_is_not_kept() -> None:
    many = {f"key{number}": "x" * 2**20 for number in range(17)}
    assert "MiB of text" in refused(gguf(many, ONE))


def test_a_header_longer_than_what_was_mapped_is_refused_as_too_long_and_not_as_cut() -> None:
    assert "more than 256 MiB" in refused(model()[:300], HEADER_BYTES * 2)


def test_a_long_array_is_checked_but_not_kept() -> None:
    long = array(U32, KEPT_ITEMS + 1, bytes(4 * (KEPT_ITEMS + 1)))
    assert read(gguf({"k": long}, ONE)).metadata["k"] == Omitted(KEPT_ITEMS + 1)


def test_arrays_within_arrays_and_unknown_types_are_refused() -> None:
    assert "arrays within" in refused(gguf({"k": array(ARRAY, 1, array(U32, 0))}, ONE))
    assert "the type 13" in refused(gguf({"k": struct.pack("<I", 13)}, ONE))
    assert "the type 99" in refused(gguf({"k": array(99, 1)}, ONE))


def test_names_are_unique_and_short() -> None:
    twice = gguf({"k": 1}, ONE)
    twice = twice[:16] + struct.pack("<Q", 2) + (text("k") + struct.pack("<II", U32, 1)) + twice[24:]
    assert "the key 'k' twice" in refused(twice)
    assert "the tensor 'a' twice" in refused(gguf(ARCH, [Tensor("a", (8,)), Tensor("a", (8,))]))
    assert "a name of 64" in refused(gguf(ARCH, [Tensor("n" * 64, (8,))]))
    assert "a name of 0" in refused(gguf(ARCH, [Tensor("", (8,))]))
    assert "a key of 0" in refused(gguf({"": 1}, ONE))
    assert "a key of 300" in refused(gguf({"k" * 300: 1}, ONE))


def test_tensors_lie_back_to_back() -> None:
    data = gguf(ARCH, [Tensor("a", (8,)), Tensor("b", (8,))])
    place = data.rindex(struct.pack("<IQ", 0, 32)) + 4
    for offset in (0, 16, 64, 2**63, 2**64 - 1):
        assert "puts the tensor 'b'" in refused(data[:place] + struct.pack("<Q", offset) + data[place + 8 :])


def test_a_tensor_beyond_the_file_is_a_cut_file() -> None:
    assert "is cut" in refused(gguf(ARCH, [Tensor("a", (2**40, 2), size=0)]))


@pytest.mark.parametrize("shape", [(2**63, 2**63), (2**63,), (0,), (2**32, 2**31)])
def test_shapes_that_overflow_or_are_empty_are_refused(shape: tuple[int, ...]) -> None:
    assert "impossible shape" in refused(gguf(ARCH, [Tensor("a", shape, size=0)]))


def test_dimensions_types_and_blocks_are_checked() -> None:
    assert "5 dimensions" in refused(gguf(ARCH, [Tensor("a", (1, 1, 1, 1, 1))]))
    assert "0 dimensions" in refused(gguf(ARCH, [Tensor("a", ())]))
    assert "the type 77" in refused(gguf(ARCH, [Tensor("a", (8,), kind=77, size=0)]))
    assert "no multiple of 256" in refused(gguf(ARCH, [Tensor("a", (100,), kind=12, size=0)]))


@pytest.mark.parametrize("alignment", [0, 3, 2**21, "32", 1.5, True])
def test_an_alignment_that_is_none_is_refused(alignment: object) -> None:
    assert "alignment" in refused(gguf({"general.alignment": alignment}, ONE))


def test_another_alignment_is_followed() -> None:
    data = gguf({"general.alignment": 128}, [Tensor("a", (8,)), Tensor("b", (8,))], alignment=128)
    assert [tensor.offset for tensor in read(data).tensors] == [0, 128]


def test_block_sizes_are_those_of_the_format() -> None:
    assert tensor_bytes("Q4_K", (256, 10)) == 1440
    assert tensor_bytes("Q8_0", (64,)) == 68
    assert all(size > 0 for _, size in BLOCKS.values())
    with pytest.raises(ModelFileBad):
        tensor_bytes("Q9", (256,))


def test_a_model_is_described() -> None:
    examined = describe(read(model()))
    assert (examined.kind, examined.architecture, examined.name) == ("model", "qwen3", "Tiny")
    assert (examined.quantisation, examined.tokenizer, examined.context_length) == ("F16", "gpt2", 512)
    assert examined.has_chat_template
    assert examined.layout is not None
    assert examined.adapter is None


def test_without_a_stated_type_the_quantisation_is_that_of_most_bytes() -> None:
    tensors = [Tensor("a", (8,)), Tensor("b", (256, 4), kind=12, size=576)]
    assert describe(read(gguf(ARCH, tensors))).quantisation == "Q4_K"


def test_an_adapter_tells_its_base_its_rank_and_its_pairs() -> None:
    examined = describe(read(adapter("llama", rank=4)))
    assert (examined.kind, examined.architecture) == ("adapter", "llama")
    assert examined.adapter is not None
    assert (examined.adapter.rank, examined.adapter.alpha, examined.adapter.pairs) == (4, 8.0, 2)
    assert examined.layout is None


@pytest.mark.parametrize(
    ("tensors", "more", "said"),
    [
        ([Tensor("x.lora_a", (8, 4))], {}, "to which no other belongs"),
        ([Tensor("x.weight", (8, 4))], {}, "to which no other belongs"),
        ([Tensor("x.lora_a", (8, 4)), Tensor("x.lora_b", (2, 8))], {}, "two ranks"),
        ([Tensor("x.lora_a", (8, 4)), Tensor("x.lora_b", (4, 8))], {"adapter.type": "other"}, "unknown type"),
        ([Tensor("x.lora_a", (8, 4)), Tensor("x.lora_b", (4, 8))], {"adapter.lora.alpha": float("nan")}, "alpha"),
    ],
)
def test_an_adapter_that_is_not_whole_is_refused(tensors: list[Tensor], more: dict[str, object], said: str) -> None:
    metadata = {**ARCH, "general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 8.0, **more}
    with pytest.raises(ModelFileBad, match=said):
        describe(read(gguf(metadata, tensors)))


def test_what_is_no_model_is_told_apart() -> None:
    assert describe(read(gguf({"general.architecture": "clip"}, ONE))).kind == "projector"
    assert describe(read(gguf({**ARCH, "general.type": "imatrix"}, ONE))).kind == "other"
    assert describe(read(gguf({**ARCH, "split.count": 3}, ONE))).parts == 3
    with pytest.raises(ModelFileBad, match="no tensors"):
        describe(read(gguf(ARCH, [])))
    with pytest.raises(ModelFileBad, match="architecture"):
        describe(read(gguf({"k": 1}, ONE)))


def test_an_architecture_of_which_nothing_is_known_is_described_without_a_layout() -> None:
    examined = describe(read(gguf({"general.architecture": "strange"}, ONE)))
    assert examined.layout is None
    assert "strange.block_count" in examined.notes[0]


def test_text_of_a_file_cannot_write_to_a_terminal() -> None:
    name = describe(read(gguf({**ARCH, "general.name": "\x1b]0;owned\x07 \u202eevil\n" + "x" * 500}, ONE))).name
    assert name.isprintable()
    assert len(name) <= 120


def test_no_mutant_is_harmful() -> None:
    """3,000 changed files are described or refused by our own error; nothing else is ever raised."""
    outcomes = {"described": 0, "refused": 0}
    for _, data in mutants(random.Random(4), 3000):
        try:
            describe(read(data))
            outcomes["described"] += 1
        except ModelFileBad:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 100, outcomes
