"""Models: who speaks with what, what is in memory and where, and what another choice sends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from a4ps.kernel.backend import Backend
from a4ps.personas import roster
from a4ps.protocol.requests.models import UseModel
from a4ps.ui.model.blocks import Act, Bar, Entry
from a4ps.ui.model.pane import Answer, Effect, Keep, Notice, Outcome, Refresh, Seen, Send, known_panes
from a4ps.ui.model.projection import unknown_society
from a4ps.ui.model.society import BY_PROFILE, Persona, Society
from tests.doubles.pane_driver import Driven, pressables, text_of

PANE = known_panes()["models"]
GB = 1_000_000_000
SOCIETY = Society(
    personas={name: Persona(name, "", model) for name, model in (("BRICK", "qwen3.5:9b"), ("ROBIN", BY_PROFILE))}
)


def resident(name: str, size_gb: float, on_card_gb: float) -> dict[str, Any]:
    return {"name": name, "size_bytes": int(size_gb * GB), "vram_bytes": int(on_card_gb * GB), "num_ctx": 8192}


def seen(*residents: dict[str, Any], budget: int | None = None, society: Society = SOCIETY, **state: Any) -> Seen:
    memory = {"engine": "ollama", "budget_bytes": budget, "residents": list(residents)}
    protos = {"protos": [{"name": "BRICK", "model": BY_PROFILE}, {"name": "ROBIN", "model": "gemma4-e4b"}]}
    answers = {"memory": Answer(memory, asking=False), "protos": Answer(protos, asking=False)}
    return Seen({"pane": "models", **state}, answers, society)


def texts(at: Seen) -> list[str]:
    return [text_of(block) for block in PANE.blocks(at)]


def pressed(at: Seen, label: str) -> list[Effect]:
    return list(PANE.acted(dict(pressables(PANE.blocks(at)))[label], at))


def test_the_profiles_word_is_the_backends() -> None:
    assert BY_PROFILE == roster.BY_PROFILE


def test_who_has_a_model_of_its_own_and_who_the_profiles_is_told() -> None:
    assert texts(seen())[3:5] == ["Who speaks with what", "BRICK | qwen3.5:9b | by the profile"]
    assert "ROBIN | gemma4-e4b | its own" in texts(seen())


def test_where_each_model_lies_is_told() -> None:
    at = seen(resident("a", 6.0, 6.0), resident("b", 4.0, 1.0), resident("c", 2.0, 0.0), budget=16 * GB)
    assert {"a | 6.0 GB | on the card", "b | 4.0 GB | 25 % on the card", "c | 2.0 GB | in RAM"} <= set(texts(at))
    (bar,) = [block for block in PANE.blocks(at) if isinstance(block, Bar)]
    assert (bar.fraction, bar.label) == (9 / 16, "9.0 of 16.0 GB")


def test_more_than_the_budget_is_a_full_bar() -> None:
    (bar,) = [block for block in PANE.blocks(seen(resident("a", 9.0, 9.0), budget=8 * GB)) if isinstance(block, Bar)]
    assert bar.fraction == 1.0


def test_without_a_model_it_says_how_to_get_one() -> None:
    at = seen(society=replace(SOCIETY, status={"engine": {"name": "rehearsal"}}))
    assert "Fetch models: a4ps models pull" in texts(at)


def test_another_model_is_entered_or_chosen_among_those_known() -> None:
    at = seen(resident("nemotron:4b", 3.0, 3.0), persona="BRICK")
    assert [block.key for block in PANE.blocks(at) if isinstance(block, Entry)] == ["BRICK"]
    _, send = pressed(at, "nemotron:4b")
    assert isinstance(send, Send)
    assert (send.request, send.undoes) == (UseModel(persona="BRICK", model="nemotron:4b"), True)
    _, send = PANE.acted(Act("use", {"persona": "BRICK", "value": " "}), at)
    assert isinstance(send, Send)
    assert send.request == UseModel(persona="BRICK", model=None)


def test_a_refused_model_is_told_at_its_field_and_kept_there() -> None:
    at = seen(persona="BRICK", typed={"BRICK": "nosuch"})
    (kept,) = PANE.told(Outcome("BRICK", fault="nosuch is not here", next_step="a4ps models pull nosuch"), at)
    assert isinstance(kept, Keep)
    (entry,) = [block for block in PANE.blocks(replace(at, state=kept.state)) if isinstance(block, Entry)]
    assert (entry.text, entry.fault) == ("nosuch", "nosuch is not here: a4ps models pull nosuch")


def test_what_came_of_it_is_said() -> None:
    used = {"persona": "BRICK", "model": "m", "before": BY_PROFILE, "change": 7}
    assert Notice("BRICK speaks with m from the next turn on.") in PANE.told(Outcome("BRICK", used), seen())
    same = {**used, "model": BY_PROFILE, "change": None}
    assert Notice("BRICK speaks with what the profile gives already.") in PANE.told(Outcome("BRICK", same), seen())
    assert pressed(seen(), "Look again") == [Refresh()]


async def test_of_a_living_society_all_four_are_shown(backend: Backend) -> None:
    roster.enrol(backend.protos)
    window = Driven(backend, "models", unknown_society())
    shown = await window.texts()
    assert all(any(text.startswith(f"{name} | ") for text in shown) for name in ("ALFRED", "BRICK", "ROBIN", "BABS"))
