"""What the kernel tells the event bus of its turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from a4ps.errors import EngineBroke
from a4ps.events import Event, Observer, Subject
from a4ps.inference.engine import ChatRequest
from a4ps.society.progress import Progress, Token, Told
from tests.doubles.kernels import open_kernel
from tests.doubles.scripted_engine import ScriptedEngine

QUESTION = "Rust or Go for a small command-line tool?"


class Noting(Observer):
    def __init__(self) -> None:
        self.heard: list[tuple[Event, object]] = []

    def update(self, event: Event, data: object) -> None:
        self.heard.append((event, data))


def ignore(progress: Progress) -> None:
    del progress


def disagreeing() -> ScriptedEngine:
    async def script(request: ChatRequest) -> object:
        if request.step == "antithesis":
            return {"stances": [{"point": 1, "stance": "disagree", "weight": 1}], "say": "No."}
        return None

    return ScriptedEngine(script)  # type: ignore[arg-type]


async def test_a_turn_is_told_from_its_beginning_to_its_answer(tmp_path: Path) -> None:
    subject, observer = Subject(), Noting()
    subject.attach(observer)
    heard: list[Progress] = []
    async with open_kernel(tmp_path, ScriptedEngine()) as kernel:
        kernel.bus = subject
        answered = await kernel.ask(QUESTION, heard.append)
    subject.close()
    kinds = [event for event, _ in observer.heard if event is not Event.SERIES]
    assert kinds[0] is Event.TURN_BEGAN
    assert kinds[-1] is Event.TURN_ANSWERED
    assert observer.heard[0][1] == answered.turn
    told = [data for _, data in observer.heard if isinstance(data, Told)]
    assert [each.progress for each in told] == heard
    assert {each.turn for each in told} == {answered.turn.id}
    assert any(isinstance(each.progress, Token) for each in told)


async def test_an_argument_that_ends_apart_is_an_event(tmp_path: Path) -> None:
    subject, observer = Subject(), Noting()
    subject.attach(observer, Event.COGNITIVE_DISSONANCE)
    async with open_kernel(tmp_path, ScriptedEngine()) as kernel:
        kernel.bus = subject
        await kernel.ask(QUESTION, ignore)
    async with open_kernel(tmp_path, disagreeing()) as kernel:
        kernel.bus = subject
        answered = await kernel.ask(QUESTION, ignore)
    subject.close()
    assert observer.heard == [(Event.COGNITIVE_DISSONANCE, answered)]


async def test_a_turn_that_ends_without_an_answer_is_told(tmp_path: Path) -> None:
    async def dies(request: ChatRequest) -> None:
        raise EngineBroke("cut")

    subject, observer = Subject(), Noting()
    subject.attach(observer, Event.TURN_STOPPED)
    async with open_kernel(tmp_path, ScriptedEngine(dies)) as kernel:
        kernel.bus = subject
        with pytest.raises(EngineBroke):
            await kernel.ask(QUESTION, ignore)
        turn = kernel.log.turn("1")
    subject.close()
    assert observer.heard == [(Event.TURN_STOPPED, turn)]
