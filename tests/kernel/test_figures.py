"""The figures that turns and probes leave: in the reply, in the series, and on the bus."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import EngineBroke, UsageError
from a4ps.events import Event, Observer, Subject
from a4ps.image.codex import Codex
from a4ps.image.rows import Row
from a4ps.image.series_log import FOLDED, PROBE, SERIES, smoothed
from a4ps.inference.engine import ChatRequest
from a4ps.kernel import kernel as kernel_module
from a4ps.series import Point, Sample
from a4ps.society.drift import is_due, probes
from a4ps.society.progress import Progress
from a4ps.society.sleeping import Sleeper
from a4ps.tools.asking import Asker, Voice
from tests.doubles.kernels import open_kernel
from tests.doubles.scripted_engine import MODEL, ScriptedEngine
from tests.personas.test_character import IN_CHARACTER, SLIPPED

QUESTION = "Rust or Go for a small command-line tool?"


class Noting(Observer):
    def __init__(self) -> None:
        self.heard: list[Sample] = []

    def update(self, event: Event, data: object) -> None:
        assert isinstance(data, Sample)
        self.heard.append(data)


def ignore(progress: Progress) -> None:
    del progress


async def speaks(request: ChatRequest) -> str | Mapping[str, Any] | None:
    """All in character, in agreement."""
    match request.step:
        case "plan":
            return {"kind": "question", "say": IN_CHARACTER["ALFRED"], "research": ""}
        case "antithesis":
            return {"stances": [{"point": 1, "stance": "agree", "weight": 1}], "say": IN_CHARACTER["ROBIN"]}
        case "judge_character":
            return {"items": [{"item": n, "kept": "partly"} for n in (1, 2, 3, 4)], "say": "a word"}
        case "thesis" | "findings" | "synthesis" | "probe":
            return IN_CHARACTER[request.persona]
    return None


async def slips(request: ChatRequest) -> str | Mapping[str, Any] | None:
    return SLIPPED if request.persona == "BRICK" else await speaks(request)


async def test_every_contribution_has_its_distance_from_its_codex(tmp_path: Path) -> None:
    async with open_kernel(tmp_path, ScriptedEngine(slips)) as kernel:
        answered = await kernel.ask(QUESTION, ignore)
        again = kernel.log.reply(answered.turn.id)
    assert again == answered.reply
    figures = {said.role: said.character for said in answered.reply.contributions}
    assert figures["thesis"] is not None
    assert figures["thesis"] >= 0.4
    assert all(figures[role] == 0 for role in ("plan", "antithesis", "findings", "synthesis"))
    assert answered.reply.colours == {"ALFRED": 0, "BRICK": figures["thesis"], "ROBIN": 0, "BABS": 0}


async def test_a_colour_follows_what_is_said_smoothly(tmp_path: Path) -> None:
    """Also over a restart: the colour goes on from where it was."""
    async with open_kernel(tmp_path, ScriptedEngine(slips)) as kernel:
        first = (await kernel.ask(QUESTION, ignore)).reply
    async with open_kernel(tmp_path, ScriptedEngine(speaks)) as kernel:
        second = (await kernel.ask(QUESTION, ignore)).reply
        greeted = (await kernel.ask("hello", ignore)).reply
        series = kernel.series.read()
    assert first.colours is not None
    assert second.colours is not None
    assert first.colours["BRICK"] == 0.6
    assert second.colours["BRICK"] == smoothed(0.6, 0.0) == 0.42
    assert greeted.colours == second.colours
    assert [point.mean for point in series["character.BRICK"]] == [first.colours["BRICK"], second.colours["BRICK"]]


async def test_a_turn_leaves_its_load(tmp_path: Path) -> None:
    async with open_kernel(tmp_path, ScriptedEngine(speaks)) as kernel:
        answered = await kernel.ask(QUESTION, ignore)
        series = kernel.series.read()
    load = answered.reply.load
    assert load is not None
    most = max(said.prompt_tokens + said.completion_tokens for said in answered.reply.contributions)
    assert load.fill == round(most / 8192, 3)
    assert load.tokens > 100
    assert load.queue <= 1  # its own first call may have waited for its model
    assert {name: points[0].mean for name, points in series.items() if name.startswith("load.")} == {
        "load.tokens": load.tokens,
        "load.fill": load.fill,
        "load.queue": load.queue,
    }


async def test_the_figures_are_told_as_they_come(tmp_path: Path) -> None:
    subject, observer = Subject(), Noting()
    subject.attach(observer, Event.SERIES)
    async with open_kernel(tmp_path, ScriptedEngine(slips)) as kernel:
        kernel.bus = subject
        await kernel.ask(QUESTION, ignore)
        stored = kernel.series.read()
    subject.close()
    names = [
        "character.ALFRED",
        "character.BRICK",
        "character.ROBIN",
        "dissonance",
        "character.BABS",
        "character.ALFRED",
    ]
    assert [sample.name for sample in observer.heard] == [*names, "load.tokens", "load.fill", "load.queue", "latency"]
    for name, points in stored.items():
        assert [point.mean for point in points] == [sample.value for sample in observer.heard if sample.name == name]


async def test_series_are_folded_now_and_then_and_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_module, "FOLD_EVERY", 3)
    folded: list[int] = []
    async with open_kernel(tmp_path, ScriptedEngine(slips)) as kernel:
        for number in range(1, 8):
            if number == 5:
                kernel.society.engine.engine.script = speaks  # type: ignore[attr-defined]
            await kernel.ask(QUESTION, ignore)
            row = kernel.store.head(SERIES, FOLDED)
            folded.append(0 if row is None else int(json.loads(row.payload)["turn"]))
        read = kernel.series.read()
        replies = [kernel.log.reply(str(number)) for number in range(1, 8)]
    assert folded == [0, 0, 3, 3, 3, 6, 6]
    assert [point.mean for point in read["character.BRICK"]] == [
        pytest.approx((reply.colours or {})["BRICK"], abs=1e-3) for reply in replies if reply is not None
    ]
    assert sum(point.count for point in read["dissonance"]) == 7


async def test_a_turn_that_was_answered_after_a_fold_is_told_once(tmp_path: Path) -> None:
    async def dies(request: ChatRequest) -> str | Mapping[str, Any] | None:
        if request.step == "synthesis":
            raise EngineBroke("cut")
        return await speaks(request)

    engine = ScriptedEngine(dies)
    async with open_kernel(tmp_path, engine) as kernel:
        with pytest.raises(EngineBroke):
            await kernel.ask(QUESTION, ignore)
        engine.script = speaks
        await kernel.ask(QUESTION, ignore)
        await kernel.series.fold()
        assert sum(point.count for point in kernel.series.read()["dissonance"]) == 1
        await kernel.resume("1", ignore)
        assert sum(point.count for point in kernel.series.read()["dissonance"]) == 2
        await kernel.series.fold()
        assert sum(point.count for point in kernel.series.read()["dissonance"]) == 2


@pytest.mark.parametrize("folds", [False, True])
async def test_the_series_go_with_the_image_into_another(tmp_path: Path, folds: bool) -> None:
    """Whose commits have other numbers."""
    async with open_kernel(tmp_path / "one", ScriptedEngine(slips)) as kernel:
        for _ in range(3):
            await kernel.ask(QUESTION, ignore)
            if folds:
                await kernel.series.fold()
        await kernel.ask(QUESTION, ignore)
        before = kernel.series.read()
        kernel.society.manager.save_image(tmp_path / "file")
    shutil.copytree(tmp_path / "one" / "keys", tmp_path / "two" / "keys")
    async with open_kernel(tmp_path / "two", ScriptedEngine(speaks)) as kernel:
        await kernel.ask("hello", ignore)
        kernel.society.manager.load(tmp_path / "file")
        after = kernel.series.read()
        await kernel.ask(QUESTION, ignore)
        later = kernel.series.read()
    assert {name: [p.mean for p in points] for name, points in after.items()} == {
        name: [pytest.approx(p.mean, abs=1e-4) for p in points] for name, points in before.items()
    }
    assert sum(point.count for point in later["dissonance"]) == 5


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"turn": "x"}', b'{"at": 1, "figures": {"a": "b"}}', b"\xff"])
async def test_rows_that_a_stranger_wrote_cost_figures_and_nothing_else(tmp_path: Path, payload: bytes) -> None:
    async with open_kernel(tmp_path, ScriptedEngine(speaks)) as kernel:
        await kernel.ask(QUESTION, ignore)
        rows = [Row(SERIES, FOLDED, payload), Row(PROBE, "1", payload), Row(PROBE, "one", payload)]
        kernel.store.commit(rows, author="stranger", reason="import")
        assert set(kernel.series.read()) >= {"dissonance", "character.BRICK"}
        await kernel.drift(("BRICK",), ignore)
        await kernel.series.fold()
        assert len(kernel.series.read()["drift-1.BRICK"]) == 1


async def test_drift_is_measured_and_judged_on_fixed_probes_and_kept(tmp_path: Path) -> None:
    engine = ScriptedEngine(speaks)
    async with open_kernel(tmp_path, engine) as kernel:
        first = await kernel.drift(("BRICK",), ignore)
        engine.script = slips
        await kernel.drift(("BRICK", "ROBIN"), ignore)
        series = kernel.series.read()
    asked = [request for request in engine.requests if request.step == "probe"]
    assert [each.question for each in first] == list(probes()[1]["BRICK"])
    assert all(each.character == 0 and each.judged == 0.5 and each.remark == "a word" for each in first)
    assert len(asked) == 9
    assert {request.who for request in engine.requests} == {"background"}
    assert len(engine.requests) == 18
    brick = [point.mean for point in series["drift-1.BRICK"]]
    assert brick[0] == 0
    assert brick[1] >= 0.4
    assert [point.mean for point in series["drift-1.BRICK.judged"]] == [0.5, 0.5]
    assert [point.mean for point in series["drift-1.ROBIN"]] == [0]


async def test_a_judge_without_the_shape_leaves_the_text_measure(tmp_path: Path) -> None:
    async def unshaped(request: ChatRequest) -> str | Mapping[str, Any] | None:
        return "no json" if request.step == "judge_character" else await speaks(request)

    engine = ScriptedEngine(unshaped)
    async with open_kernel(tmp_path, engine) as kernel:
        probed = await kernel.drift(("BABS",), ignore)
        series = kernel.series.read()
    assert all(each.judged is None for each in probed)
    assert list(series) == ["drift-1.BABS"]
    assert len(engine.requests) == 9  # an answer, a judgement and its repair, three times


async def test_a_probe_that_breaks_off_keeps_nothing(tmp_path: Path) -> None:
    async def dies(request: ChatRequest) -> str | Mapping[str, Any] | None:
        if request.step == "judge_character":
            raise EngineBroke("cut")
        return await speaks(request)

    async with open_kernel(tmp_path, ScriptedEngine(dies)) as kernel:
        with pytest.raises(EngineBroke):
            await kernel.drift(("BRICK",), ignore)
        assert kernel.series.read() == {}


async def test_a_rehearsal_has_no_drift(tmp_path: Path) -> None:
    async with open_kernel(tmp_path, ScriptedEngine(name="rehearsal")) as kernel:
        with pytest.raises(UsageError, match="prepared lines"):
            await kernel.drift(("BRICK",), ignore)


async def test_a_process_that_rests_measures_drift_where_that_is_due(tmp_path: Path, clock: ManualClock) -> None:
    """Once, and again when its days are over; never where the setting says so."""
    engine = ScriptedEngine(speaks)
    async with open_kernel(tmp_path, engine, clock, sleep_after_s=0.001, drift_every_days=2) as kernel:
        voice = Voice(Codex("steward", MODEL, "You are ALFRED."), MODEL)
        kernel.sleeper = Sleeper(kernel.records, Asker(engine, lambda name: voice, who="background"))

        async def rests() -> int:
            await kernel.ask(QUESTION, ignore)
            (rest,) = [task for task in asyncio.all_tasks() if task.get_name() == "resting" and not task.done()]
            await rest
            return sum(point.count for point in kernel.series.read().get("drift-1.BRICK", ()))

        assert await rests() == 1
        clock.advance(86_400)
        assert await rests() == 1
        clock.advance(86_400)
        assert await rests() == 2
        clock.at -= timedelta(days=300)
        assert await rests() == 2


def test_drift_is_due_by_its_days() -> None:
    series = {"drift-1.BRICK": (Point(1000.0, 0.1, 0.1, 0.1),), "drift-0.ROBIN": (Point(9000.0, 0.1, 0.1, 0.1),)}
    assert not is_due(series, 1099.0, 100)
    assert is_due(series, 1100.0, 100)
    assert is_due({}, 0.0, 100)
    assert not is_due({}, 0.0, 0)
