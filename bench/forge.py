"""How the forge judges, and how well a model does in it: `python -m bench.forge`.

    drill    scripted candidates, right and wrong, for thirty tasks: whatever is verified is put to hidden tests that the
             forge never saw. A text that is verified and fails them is a false "verified"; there must be none
    --model  the same tasks on the configured engine: pass@1 and pass after repairs, by the hidden tests

The drill's ALFRED is right and thorough, so it measures the judge, not ALFRED; --model measures both, and its false
"verified" tells how far a model's tests can be trusted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a4ps.clock import SystemClock
from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.inference.engine import ChatRequest
from a4ps.inference.model_manager import ModelManager
from a4ps.kernel.wiring import choose_engine, engine_of, environment, forge_parts, parts_of
from a4ps.personas.roster import enrol, shipped_codices
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.tools.asking import Voice
from a4ps.tools.cases import Case, Expected, Gives, Raises
from a4ps.tools.registry import ToolRegistry
from a4ps.tools.running import outcome_of
from a4ps.tools.specification import Specification
from a4ps.tools.tool import Tool
from a4ps.tools.tool_forge import ForgeParts, ToolForge
from bench.forge_tasks import TASKS, ToolTask
from bench.machine import machine
from tests.doubles.scripted_engine import MODEL, ScriptedEngine

#: Candidates that do not try: one is put to each task, in turn. NAME and ARGS stand for the function's own.
HOSTILE: Mapping[str, str] = {
    "prints TEST PASSED": "def NAME(ARGS):\n    print('TEST PASSED')\n    print('OK: 99 passed')\n    return None\n",
    "learns what is shown": "def NAME(ARGS):\n    return SHOWN[repr((ARGS,))]\n",
    "patches the judge": "def NAME(ARGS):\n    import builtins, operator\n    builtins.all = lambda rows: True\n"
    "    builtins.len = lambda row: 0\n    operator.eq = lambda one, other: True\n    return None\n",
    "equals everything": "def NAME(ARGS):\n    class All:\n        def __eq__(self, other):\n            return True\n"
    "    return All()\n",
    "ends its process": "def NAME(ARGS):\n    import os\n    os._exit(0)\n",
    "never ends": "def NAME(ARGS):\n    while True:\n        pass\n",
    "reads the caller's frames": "def NAME(ARGS):\n    import sys\n    frame = sys._getframe()\n    while frame:\n"
    "        for name, value in frame.f_locals.items():\n            if 'expect' in name:\n                return value\n"
    "        frame = frame.f_back\n    return None\n",
}


@dataclass(frozen=True)
class Row:
    """One candidate: whether it was right, by the hidden tests, and whether the forge verified it."""

    task: str
    kind: str
    right: bool
    verified: bool


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.forge", description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=len(TASKS), help="how many of the thirty tasks")
    parser.add_argument("--model", action="store_true", help="the configured engine in place of the drill")
    parser.add_argument("--json", action="store_true", help="one object in place of the table")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    with SecureCodeExecutor(pool_size=2) as runner, tempfile.TemporaryDirectory() as folder:
        tier = runner.tier.name
        tasks = TASKS[: given.tasks]
        at = Path(folder)
        told = asyncio.run(on_engine(tasks, runner, at)) if given.model else drill(tasks, runner, at)
    whole = {"machine": machine(), "tier": tier, "seconds": round(time.monotonic() - began), **told}
    if given.json:
        print(json.dumps(whole))
    else:
        _print(whole)
    return 1 if told["false_verified"] else 0


def drill(tasks: Sequence[ToolTask], runner: SecureCodeExecutor, folder: Path) -> dict[str, Any]:
    """Every candidate of every task, each in an image of its own."""
    rows: list[Row] = []
    for number, task in enumerate(tasks):
        for kind, source in candidates(task, number):
            with scripted_forge(task, source, runner, folder / f"{len(rows)}") as forge:
                report = forge.create_tool(task.task, 1, [text_of(task, each) for each in task.shown])
            right = is_right(runner, source, task.name, cases_of(task, task.hidden))
            rows.append(Row(task.name, kind, right, report.verified))
            print(f"\r{len(rows)} candidates", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    good = [row for row in rows if row.right]
    wrong = [row for row in rows if not row.right]
    return {
        "candidates": len(rows),
        "by_kind": {
            kind: {
                "candidates": sum(row.kind == kind for row in rows),
                "right": sum(row.kind == kind and row.right for row in rows),
                "verified": sum(row.kind == kind and row.verified for row in rows),
            }
            for kind in dict.fromkeys(row.kind for row in rows)
        },
        "right_verified": sum(row.verified for row in good),
        "right": len(good),
        "wrong": len(wrong),
        "false_verified": sum(row.verified for row in wrong),
        "falsely": [f"{row.task}: {row.kind}" for row in wrong if row.verified],
        "refused": [f"{row.task}: {row.kind}" for row in good if not row.verified],
    }


async def on_engine(tasks: Sequence[ToolTask], runner: SecureCodeExecutor, folder: Path) -> dict[str, Any]:
    """The tasks on the engine that the command line would choose, in an image that is thrown away."""
    env = environment(None)
    choice = await choose_engine(env, "")
    engine = ModelManager(parts_of(env, engine_of(env, choice)))
    first = repaired = falsely = 0
    ends: list[str] = []
    with ProtoManager.open(folder / "image.a4ps", keys=KeyFolder(folder / "keys")) as protos:
        enrol(protos)
        forge = ToolForge(forge_parts(env, ToolRegistry(protos, runner), engine, env.models_of(choice)))
        try:
            for task in tasks:
                shown = [text_of(task, each) for each in task.shown]
                report = await forge.forge(f"{task.task}. {task.contract}", 3, shown)
                right = False
                if report.verified and report.tool is not None:
                    right = await asyncio.to_thread(is_right_tool, runner, report.tool, task)
                    falsely += not right
                first += right and report.attempts == 1
                repaired += right
                ends.append(str(report))
                print(f"{task.name}: {report}", file=sys.stderr)
        finally:
            await engine.aclose()
    return {
        "engine": choice,
        "models": sorted(set(env.models_of(choice).values())),
        "tasks": len(tasks),
        "pass_at_1": first,
        "pass_after_repairs": repaired,
        "false_verified": falsely,
        "ends": ends,
    }


def candidates(task: ToolTask, number: int) -> Iterator[tuple[str, str]]:
    """Kind and text of each candidate of a task."""
    yield "right", task.source
    for old, new in task.slips:
        if old not in task.source:
            raise ValueError(f"{task.name}: {old!r} is not in the text")
        yield "a slip", task.source.replace(old, new)
    kind = list(HOSTILE)[number % len(HOSTILE)]
    names = ", ".join(each.split(": ")[0] for each in task.parameters)
    known = {repr(as_args(each)): result_of(task, as_args(each)) for each in task.shown}
    answers = {given: expected.value for given, expected in known.items() if isinstance(expected, Gives)}
    yield kind, HOSTILE[kind].replace("NAME", task.name).replace("ARGS", names).replace("SHOWN", repr(answers))


@contextmanager
def scripted_forge(task: ToolTask, source: str, runner: SecureCodeExecutor, folder: Path) -> Iterator[ToolForge]:
    """A forge whose BRICK writes `source` and whose ALFRED knows the task's tests."""

    async def say(request: ChatRequest) -> str | Mapping[str, Any] | None:
        match request.step:
            case "tool_specification":
                return specification_of(task).as_plain()
            case "tool_tests":
                return {"cases": [_blind_test(task, as_args(each)) for each in task.tests]}
        return f"```python\n{source}```\n"

    with ProtoManager.open(folder / "image.a4ps", keys=KeyFolder(folder / "keys")) as protos:
        registry = ToolRegistry(protos, runner)
        voice: Callable[[str], Voice] = lambda name: Voice(shipped_codices()[name], MODEL)  # noqa: E731
        forge = ToolForge(ForgeParts(registry, ScriptedEngine(say), voice, SystemClock()))
        try:
            yield forge
        finally:
            forge.close()


def specification_of(task: ToolTask) -> Specification:
    """What BRICK would specify."""
    parameters = [dict(zip(("name", "type"), each.split(": ", 1), strict=True)) for each in task.parameters]
    errors = [{"exception": task.raises, "when": "see the contract"}] if task.raises else []
    return Specification.from_plain(
        {
            "name": task.name,
            "parameters": parameters,
            "returns": task.returns,
            "contract": task.contract,
            "errors": errors,
        }
    )


def result_of(task: ToolTask, args: tuple[Any, ...]) -> Expected:
    """What the right text, which is ours, makes of arguments."""
    scope: dict[str, Any] = {}
    exec(task.source, scope)
    try:
        return Gives(scope[task.name](*args))
    except Exception as error:  # noqa: BLE001 - whatever the right text raises is what is expected
        return Raises(type(error).__name__)


def cases_of(task: ToolTask, inputs: Sequence[Any]) -> list[Case]:
    return [Case(as_args(each), result_of(task, as_args(each)), "example") for each in inputs]


def text_of(task: ToolTask, given: Any) -> str:
    """An input as the caller's example."""
    return Case(as_args(given), result_of(task, as_args(given)), "example").text(task.name)


def as_args(given: Any) -> tuple[Any, ...]:
    return given if isinstance(given, tuple) else (given,)


def is_right(runner: SecureCodeExecutor, source: str, name: str, cases: Sequence[Case]) -> bool:
    """Whether a text passes the hidden tests, judged out here as well; it stops at the first that it fails."""
    specification = next(specification_of(task) for task in TASKS if task.name == name)
    return all(not case.fault(outcome_of(runner, source, name, case.args, 3.0)[0], specification) for case in cases)


def is_right_tool(runner: SecureCodeExecutor, tool: Tool, task: ToolTask) -> bool:
    """The same for what a model made, whose signature may differ: its parameters stand in the order of the examples."""
    return all(
        not case.fault(outcome_of(runner, tool.source, tool.name, case.args, 3.0)[0], tool.specification)
        for case in cases_of(task, task.hidden)
    )


def _blind_test(task: ToolTask, args: tuple[Any, ...]) -> dict[str, Any]:
    names = [each.split(": ")[0] for each in task.parameters]
    expected = result_of(task, args)
    raised = expected.exception if isinstance(expected, Raises) else ""
    value = expected.value if isinstance(expected, Gives) else None
    return {"arguments": dict(zip(names, args, strict=True)), "raises": raised, "expected": value}


def _print(told: Mapping[str, Any]) -> None:
    for name, value in told["machine"].items():
        print(f"{name:<8} {value}")
    print(f"sandbox  {told['tier']}; {told['seconds']} s in all\n")
    if "by_kind" not in told:
        print(f"engine {told['engine']}: {', '.join(told['models'])}; {told['tasks']} tasks")
        print(f"pass@1               {told['pass_at_1']:>3}")
        print(f"pass after repairs   {told['pass_after_repairs']:>3}")
        print(f"false verified       {told['false_verified']:>3}")
        return
    print(f"{'candidate':<28} {'n':>4} {'right':>6} {'verified':>9}")
    for kind, row in told["by_kind"].items():
        print(f"{kind:<28} {row['candidates']:>4} {row['right']:>6} {row['verified']:>9}")
    print(f"\nright texts verified {told['right_verified']} of {told['right']}")
    print(f"false verified       {told['false_verified']} of {told['wrong']} wrong texts (must be 0)")
    for each in told["falsely"]:
        print(f"  falsely verified: {each}")
    for each in told["refused"]:
        print(f"  right, but refused: {each}")


if __name__ == "__main__":
    sys.exit(main())
