"""Story: a question needs a tool that nobody has; it is written before my eyes, tested, approved of, used, and kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import ApprovalNeeded, SandboxUnavailable
from a4ps.governance.approvals import Approval
from a4ps.inference.engine import ChatRequest
from a4ps.kernel.kernel import Kernel
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.society.progress import Forging, Progress
from a4ps.tools.report import Tried
from tests.doubles.kernels import open_kernel
from tests.doubles.scripted_engine import ScriptedEngine

GPX = '<gpx><trk><trkpt lat="47.1" lon="8.5"/><trkpt lat="47.2" lon="8.6"/></trk></gpx>'
QUESTION = f"Convert these GPX points to a table: {GPX}"
TASK = "the points of a GPX text as a table of latitude and longitude"

SPECIFICATION: Mapping[str, Any] = {
    "name": "gpx_table",
    "parameters": [{"name": "gpx", "type": "str"}],
    "returns": "str",
    "contract": "One line a point: latitude, a tab, longitude, as written. Empty without points.",
    "errors": [{"exception": "ValueError", "when": "the text is no XML"}],
}


def points(*pairs: tuple[str, str]) -> str:
    return "<gpx>" + "".join(f'<trkpt lat="{lat}" lon="{lon}"/>' for lat, lon in pairs) + "</gpx>"


TESTS = {
    "cases": [
        {"arguments": {"gpx": points(("1", "2"))}, "raises": "", "expected": "1\t2"},
        {"arguments": {"gpx": points(("1", "2"), ("3", "-4.5"))}, "raises": "", "expected": "1\t2\n3\t-4.5"},
        {"arguments": {"gpx": "<gpx/>"}, "raises": "", "expected": ""},
        {"arguments": {"gpx": "no xml"}, "raises": "ValueError", "expected": ""},
        {
            "arguments": {"gpx": "<gpx><trk>" + points(("0", "0"))[5:-6] + "</trk></gpx>"},
            "raises": "",
            "expected": "0\t0",
        },
    ]
}
WRONG = "def gpx_table(gpx):\n    print('TEST PASSED')\n    return gpx\n"
WRONG_AGAIN = """import re

def gpx_table(gpx):
    return "\\n".join("\\t".join(pair) for pair in re.findall('lat="(.*?)" lon="(.*?)"', gpx))
"""
RIGHT = """import xml.etree.ElementTree as tree

def gpx_table(gpx):
    try:
        root = tree.fromstring(gpx)
    except tree.ParseError:
        raise ValueError("this is no XML") from None
    return "\\n".join(f"{p.get('lat')}\\t{p.get('lon')}" for p in root.iter("trkpt"))
"""


class Four:
    """The society as a model would play it: the plan wants a tool, BRICK is wrong, wrong, right."""

    def __init__(self, texts: tuple[str, ...] = (WRONG, WRONG_AGAIN, RIGHT)) -> None:
        self.texts = list(texts)
        self.known: list[str] = []

    async def __call__(self, request: ChatRequest) -> str | Mapping[str, Any] | None:
        match request.step:
            case "plan":
                prompt = request.messages[-1].content
                known = "gpx_table(gpx" in prompt
                wish = {"tool": "gpx_table", "arguments": {"gpx": GPX}} if known else {"tool": "NEW", "task": TASK}
                return {"kind": "question", "say": "The table first.", "research": "what GPX holds", **wish}
            case "tool_specification":
                return SPECIFICATION
            case "tool_tests":
                return TESTS
            case "tool_writing" | "tool_mending":
                return f"```python\n{self.texts.pop(0)}```"
            case "tool_arguments":
                return {"gpx": GPX}
        return None


@pytest.fixture(scope="module")
def executor() -> Iterator[SecureCodeExecutor]:
    with SecureCodeExecutor(pool_size=1) as opened:
        try:
            _ = opened.tier
        except SandboxUnavailable as error:
            pytest.skip(error.message)
        yield opened


@asynccontextmanager
async def opened(
    folder: Path, executor: SecureCodeExecutor, four: Four
) -> AsyncIterator[tuple[Kernel, ScriptedEngine]]:
    engine = ScriptedEngine(four)
    async with open_kernel(folder, engine, runner=executor) as kernel:
        yield kernel, engine


def ignore(progress: Progress) -> None:
    del progress


def steps(engine: ScriptedEngine) -> list[str]:
    return [request.step for request in engine.requests]


async def test_a_missing_tool_is_written_tested_approved_used_and_kept(
    tmp_path: Path, executor: SecureCodeExecutor
) -> None:
    seen: list[Progress] = []
    asked: list[Approval] = []

    async def approve(approval: Approval) -> bool:
        asked.append(approval)
        return True

    async with opened(tmp_path, executor, Four()) as (kernel, engine):
        answered = await kernel.ask(QUESTION, seen.append, approve=approve)
        # I was asked whether to begin, saw two attempts fail and the third pass, and was asked to approve of that one.
        assert [approval.action.kind for approval in asked] == ["tool-forge", "tool-keep"]
        assert asked[0].action.what == TASK
        assert asked[0].claim == "The table first."
        kept = asked[1].action
        assert "gpx_table(gpx: str) -> str: One line a point" in kept.arguments["contract"]
        assert "gpx_table('<gpx/>') == ''" in kept.arguments["tests"]
        assert "5 cases, 2 of them unseen by the writer" in kept.arguments["evidence"]
        assert "+def gpx_table(gpx):" in kept.diff
        tried = [step.step for step in seen if isinstance(step, Forging) and isinstance(step.step, Tried)]
        assert [step.passed for step in tried] == [False, False, True]
        # The result went into the answer as a quotation that is marked as data.
        judged = next(request for request in engine.requests if request.step == "synthesis").messages[-1].content
        assert "data and no instruction" in judged
        assert "> 47.1\t8.5\n> 47.2\t8.6" in judged
        assert [said.role for said in answered.reply.contributions] == [
            "plan", "tool", "thesis", "antithesis", "findings", "synthesis",
        ]  # fmt: skip
        assert any("gpx_table is verified after 3 attempts" in note for note in answered.reply.notes)
        registry = kernel.society.forge.registry  # type: ignore[union-attr]
        tool = registry.get("gpx_table")
        assert (tool.level, tool.use.calls, tool.evidence.tier) == ("sandboxed", 1, executor.tier.name)
        # The next question finds it: nobody writes anything.
        engine.requests.clear()
        again = await kernel.ask(QUESTION.replace("Convert", "Turn"), seen.append)
        assert not [step for step in steps(engine) if step.startswith("tool_")]
        assert again.reply.contributions[1].text.endswith("47.1\t8.5\n47.2\t8.6")
        assert registry.get("gpx_table").use.calls == 2
    # And it is there tomorrow.
    async with opened(tmp_path, executor, Four()) as (kernel, engine):
        assert kernel.society.forge is not None
        assert kernel.society.forge.registry["gpx_table"](points(("5", "6"))) == "5\t6"


async def test_without_an_approval_nothing_is_written_and_it_is_said(
    tmp_path: Path, executor: SecureCodeExecutor
) -> None:
    async def decline(approval: Approval) -> bool:
        return False

    async with opened(tmp_path, executor, Four()) as (kernel, engine):
        answered = await kernel.ask(QUESTION, lambda step: None, approve=decline)
        assert not [step for step in steps(engine) if step.startswith("tool_")]
        assert len(answered.reply.contributions) == 5
        (note,) = answered.reply.notes
        assert "A tool was wanted" in note
        assert TASK in note


async def test_where_nobody_is_there_the_turn_waits_and_goes_on_after_the_approvals(
    tmp_path: Path, executor: SecureCodeExecutor
) -> None:
    needed: list[str] = []
    for text in ((), (WRONG, RIGHT), ()):
        async with opened(tmp_path, executor, Four(text)) as (kernel, engine):
            if needed:
                await asyncio.to_thread(kernel.society.approvals.decide, needed[-1], "approve")
            try:
                answered = await (kernel.resume(None, ignore) if needed else kernel.ask(QUESTION, ignore))
            except ApprovalNeeded as error:
                needed.append(error.approval)
            written = [step for step in steps(engine) if step in ("tool_writing", "tool_mending")]
            assert len(written) == len(text), "what was made is kept while it waits"
    assert len(needed) == 2
    assert answered.reply.contributions[1].text.endswith("47.1\t8.5\n47.2\t8.6")


async def test_what_was_tried_in_vain_is_not_tried_again_for_a_week(
    tmp_path: Path, executor: SecureCodeExecutor
) -> None:
    async def approve(approval: Approval) -> bool:
        return True

    async with opened(tmp_path, executor, Four((WRONG, WRONG, WRONG))) as (kernel, engine):
        first = await kernel.ask(QUESTION, lambda step: None, approve=approve)
        assert any("is not verified after 3 attempts" in note for note in first.reply.notes)
        assert len(first.reply.contributions) == 5
        engine.requests.clear()
        second = await kernel.ask(QUESTION.replace("Convert", "Turn"), lambda step: None, approve=approve)
        assert not [step for step in steps(engine) if step.startswith("tool_")]
        assert any("tried in vain" in note for note in second.reply.notes)
