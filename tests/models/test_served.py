"""The test models do real inference in llama.cpp, in a process of their own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from tests.doubles.household import ROOT
from tests.models import manifest

pytestmark = pytest.mark.slow
MANIFEST = manifest.read()


@pytest.fixture(scope="module")
def told() -> Any:
    command = [sys.executable, "-m", "tests.models.served"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout)


def test_two_bases_at_once_each_give_their_answers(told: Any) -> None:
    assert told["two bases"] == [MANIFEST[name].answers for name in ("tiny.gguf", "tinier.gguf", "tiny.gguf")]


def test_a_lora_is_switched_by_each_request_and_leaves_nothing_behind(told: Any) -> None:
    base, loras = MANIFEST["tiny.gguf"].answers, MANIFEST.loras()
    for index, question, reply in told["switching"]:
        if index is not None:
            assert reply == loras[index].answers[question]
        elif question in base:
            assert reply == base[question]


def test_a_stream_passes_on_whole_letters_only(told: Any) -> None:
    assert len(told["pieces"]) > 3
    assert "".join(told["pieces"]) == MANIFEST["tiny.gguf"].answers["Show me your signs."]


def test_a_stream_ends_where_it_is_cancelled(told: Any) -> None:
    assert len(told["cut short"]) == 5
    assert MANIFEST["tiny.gguf"].answers["Count to 60."].startswith("".join(told["cut short"]))


def test_a_shape_is_kept(told: Any) -> None:
    shape = json.loads(told["shape"])
    assert set(shape) == {"kind", "say"}
    assert shape["kind"] in {"trifle", "memory", "question"}


def test_embeddings_are_unit_vectors_and_like_for_like_texts(told: Any) -> None:
    who, again, other = told["embeddings"]
    assert who == again
    assert all(math.hypot(*vector) == pytest.approx(1, abs=1e-3) for vector in (who, other))
    assert sum(a * b for a, b in zip(who, other, strict=True)) < 0.999


def test_memory_comes_back_when_a_base_is_let_go(told: Any) -> None:
    """Eight loads of some 10 MB: the last four add less than one of them."""
    assert told["memory"][7] - told["memory"][3] < 10_000_000
