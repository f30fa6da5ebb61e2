"""The rehearsal engine: keeps the contract, says what it is, and speaks of what was asked."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import Unsupported
from a4ps.inference import lexical
from a4ps.inference.engine import ChatRequest, Finished, Message
from a4ps.inference.rehearsal import MODEL, RehearsalEngine
from a4ps.personas.prompting import quote, speak_as
from a4ps.personas.roster import shipped_codices
from a4ps.society.dissonance import points_of
from a4ps.society.nodes import AntithesisShape, PlanShape
from tests.contracts.engine_contract import EngineContract, finished, gather, reply

CODICES = shipped_codices()
QUESTION = "I have two free weekends: should I learn Rust or Go to write a command-line tool?"
PERSONAS = {
    "greeting": "ALFRED",
    "plan": "ALFRED",
    "thesis": "BRICK",
    "antithesis": "ROBIN",
    "findings": "BABS",
    "synthesis": "ALFRED",
}
SCHEMAS = {"plan": PlanShape.model_json_schema(), "antithesis": AntithesisShape.model_json_schema()}
PARTS = dict.fromkeys(
    "memories plan objections thesis points antithesis findings research dissonance tools tool".split(), ""
)


class TestContract(EngineContract):
    @pytest.fixture
    def model(self) -> str:
        return MODEL

    @pytest.fixture
    def embedder(self) -> str:
        return lexical.NAME

    @pytest.fixture
    async def engine(self) -> RehearsalEngine:
        return RehearsalEngine()


def asked(step: str, question: str = QUESTION, **parts: str) -> ChatRequest:
    persona = PERSONAS[step]
    quoted = question if step == "greeting" else quote(question)
    messages = speak_as(CODICES[persona], step, **{**PARTS, **parts, "question": quoted})
    return ChatRequest(MODEL, messages, persona, step, schema=SCHEMAS.get(step))


async def spoken(request: ChatRequest) -> str:
    whole = reply(await gather(RehearsalEngine(), request))
    return str(json.loads(whole)["say"]) if request.schema else whole


class TestItSaysWhatItIs:
    @pytest.mark.parametrize("step", ["greeting", "synthesis"])
    @pytest.mark.parametrize("question", [QUESTION, "What is a good life?", "hello"])
    async def test_the_last_word_of_a_turn_names_the_rehearsal(self, step: str, question: str) -> None:
        """Whoever reads only the answer cannot take it for thought."""
        assert "rehearsal" in (await spoken(asked(step, question))).split(":")[0].split("\n")[0]

    async def test_doctor_is_told(self) -> None:
        status = await RehearsalEngine().status()
        assert status.reachable
        assert "rehearse" in status.detail

    async def test_it_fetches_no_models(self) -> None:
        with pytest.raises(Unsupported) as caught:
            RehearsalEngine().pull("qwen3.5:4b")
        assert "Ollama" in caught.value.next_step


class TestItsLines:
    @pytest.mark.parametrize("step", list(PERSONAS))
    @given(question=st.text(max_size=200))
    async def test_the_same_question_gets_the_same_words(self, step: str, question: str) -> None:
        """Any question gets a reply, whole, twice the same, from any instance."""
        first = await gather(RehearsalEngine(), asked(step, question))
        assert first == await gather(RehearsalEngine(), asked(step, question))
        assert finished(first).reason == "stop"
        assert (await spoken(asked(step, question))).strip()

    async def test_the_words_are_the_same_in_every_process(self) -> None:
        """The choice of a line hangs on the question alone, not on Python's seed for hashes."""
        assert (await spoken(asked("thesis"))).startswith("Take Go.")
        assert (await spoken(asked("thesis", "Tea or coffee?"))).startswith("Take coffee.")

    @pytest.mark.parametrize("step", ["plan", "thesis", "antithesis", "findings", "synthesis"])
    @pytest.mark.parametrize(
        ("question", "words"),
        [
            (QUESTION, ("Rust", "Go", "weekends")),
            ("Tea or coffee?", ("Tea", "coffee")),
            ("Is Python 3 better than C++, C++ vs Zig?", ("C++", "Zig", "Python")),
            ("How does photosynthesis work?", ("photosynthesis",)),
            ("Как выучить программирование?", ("программирование",)),
        ],
    )
    async def test_words_of_the_question_appear(self, step: str, question: str, words: tuple[str, ...]) -> None:
        said = await spoken(asked(step, question))
        assert any(word in said for word in words), said

    @pytest.mark.parametrize("question", ["$first or ${second}?", "$topic {0} %s", '"}, {"say": "x" or \\'])
    async def test_signs_of_a_question_are_only_text(self, question: str) -> None:
        for step in PERSONAS:
            assert (await spoken(asked(step, question))).strip()

    async def test_different_questions_get_different_words(self) -> None:
        assert await spoken(asked("synthesis")) != await spoken(asked("synthesis", "Tea or coffee?"))

    async def test_no_placeholder_is_left(self) -> None:
        for step in PERSONAS:
            for question in (QUESTION, "What is a good life?", "", "?"):
                assert "$" not in await spoken(asked(step, question))

    async def test_a_thesis_has_points_and_the_antithesis_a_stance_on_them(self) -> None:
        assert len(points_of(await spoken(asked("thesis")))) == 3
        shape = AntithesisShape.model_validate_json(reply(await gather(RehearsalEngine(), asked("antithesis"))))
        assert [stance.point for stance in shape.stances] == [1, 2, 3]

    async def test_a_plan_is_a_question_with_research(self) -> None:
        shape = PlanShape.model_validate_json(reply(await gather(RehearsalEngine(), asked("plan"))))
        assert shape.kind == "question"
        assert "Rust" in shape.research or "Go" in shape.research

    async def test_what_was_asked_before_is_read_from_the_record(self) -> None:
        memories = "\nFrom the record of earlier turns:\n> [12] 2026-11-22 09:30: The Architect asked: Rust or Go?\n"
        request = asked("plan", "What did I ask before?", memories=memories)
        shape = PlanShape.model_validate_json(reply(await gather(RehearsalEngine(), request)))
        assert shape.kind == "memory"
        assert "[12]" in shape.say
        assert "Rust or Go?" in shape.say

    async def test_without_a_record_there_is_nothing_to_read(self) -> None:
        request = asked("plan", "What did I ask before?")
        shape = PlanShape.model_validate_json(reply(await gather(RehearsalEngine(), request)))
        assert shape.kind == "question"

    async def test_findings_cite_the_record_by_number(self) -> None:
        memories = "\nFrom the record of earlier turns:\n> [12] a day: x\n> [7] a day: y\n"
        assert "[12], [7]" in await spoken(asked("findings", memories=memories))
        assert "found nothing" in await spoken(asked("findings"))

    @given(limit=st.integers(1, 40))
    async def test_what_is_cut_is_the_head(self, limit: int) -> None:
        whole = await gather(RehearsalEngine(), asked("thesis"))
        cut = await gather(RehearsalEngine(), replace(asked("thesis"), max_tokens=limit))
        assert cut[:-1] == whole[:limit]
        assert finished(cut) == Finished("length", finished(whole).prompt_tokens, limit)

    @pytest.mark.parametrize("flood", ["a", "did ", "a-", "or ", "\t", "I ask "])
    async def test_a_long_question_is_read_once(self, flood: str) -> None:
        """No pattern backtracks: one that does takes minutes for these, and ends in the suite's time-out."""
        prompt = quote(f"x{flood * (100_000 // len(flood))}x")
        request = ChatRequest(MODEL, (Message("user", prompt),), "ALFRED", "plan", num_ctx=1_000_000)
        assert reply(await gather(RehearsalEngine(), request))
