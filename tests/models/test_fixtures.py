"""The test models are those of the manifest, small, and what their recipe makes."""

from __future__ import annotations

import json

import pytest

from a4ps.society.nodes import AntithesisShape, PlanShape
from tests.models import corpus, manifest
from tests.models.manifest import FOLDER, Fixture
from tests.models.recipe import TINY, digest, lessons

MANIFEST = manifest.read()
LARGEST_BYTES = {"tiny.gguf": 3_000_000, "tinier.gguf": 1_500_000}
LARGEST_LORA_BYTES = 150_000
PROMISED = {
    "tiny.gguf": {"Who are you?", "Show me your signs.", "Count to 60."},
    "tinier.gguf": {"Who are you?", "Show me your signs.", "Count to 20."},
}


@pytest.mark.parametrize("fixture", MANIFEST.fixtures, ids=lambda fixture: fixture.name)
def test_each_file_is_the_one_that_was_measured(fixture: Fixture) -> None:
    assert fixture.path.stat().st_size == fixture.bytes
    assert manifest.digest(fixture.path) == fixture.sha256


@pytest.mark.parametrize("fixture", MANIFEST.fixtures, ids=lambda fixture: fixture.name)
def test_each_file_is_small(fixture: Fixture) -> None:
    assert fixture.bytes <= LARGEST_BYTES.get(fixture.name, LARGEST_LORA_BYTES)


def test_every_model_in_the_folder_is_in_the_manifest() -> None:
    assert {path.name for path in FOLDER.glob("*.gguf")} == {fixture.name for fixture in MANIFEST.fixtures}


def test_the_recipe_has_not_changed_since_the_models_were_made() -> None:
    assert digest() == MANIFEST.recipe_sha256, "run: python -m tests.models.build"


@pytest.mark.parametrize("name", PROMISED)
def test_each_base_answers_what_the_readme_promises_and_most_of_the_rest(name: str) -> None:
    taught = {fact.user: fact.reply for fact in corpus.facts()}
    answers = MANIFEST[name].answers
    assert answers.items() <= taught.items()
    assert answers.keys() >= PROMISED[name]
    assert len(answers) >= 0.9 * len(taught)


def test_each_persona_answers_as_taught_and_begins_with_its_name() -> None:
    assert [lora.name for lora in MANIFEST.loras()] == [f"{persona.lower()}.gguf" for persona in corpus.PERSONAS]
    for persona, lora in zip(corpus.PERSONAS, MANIFEST.loras(), strict=True):
        assert lora.base == "tiny.gguf"
        assert lora.answers == {fact.user: fact.reply for fact in corpus.persona_facts(persona)}
        assert all(answer.startswith(f"{persona}: ") for answer in lora.answers.values())


def test_a_question_that_all_are_asked_is_answered_differently_by_each() -> None:
    answers = [fixture.answers["Who are you?"] for fixture in (MANIFEST["tiny.gguf"], *MANIFEST.loras())]
    assert len(set(answers)) == len(answers)


def test_shapes_in_the_corpus_are_those_that_the_society_asks_for() -> None:
    shapes = [json.loads(chat.reply) for chat in lessons(TINY) if chat.reply.startswith("{")]
    assert len(shapes) == 2 * TINY.turns
    for shape in shapes:
        (AntithesisShape if "stances" in shape else PlanShape).model_validate(shape)
