"""A forge over a real image, with an engine that says what a test gives it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from a4ps.clock import ManualClock
from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.store import Store
from a4ps.inference.engine import ChatRequest
from a4ps.personas.roster import shipped_codices
from a4ps.tools.asking import Voice
from a4ps.tools.registry import ToolRegistry
from a4ps.tools.running import Runner
from a4ps.tools.tool_forge import ForgeParts, ToolForge
from tests.doubles.apart_runner import ApartRunner
from tests.doubles.scripted_engine import MODEL, ScriptedEngine

SLUG_SPEC: Mapping[str, Any] = {
    "name": "slugify",
    "parameters": [{"name": "text", "type": "str"}],
    "returns": "str",
    "contract": "Lower-case words of ASCII letters and digits, joined by one hyphen. Empty for a text without any.",
    "errors": [],
    "deterministic": True,
}
SLUG_TESTS: Sequence[tuple[str, str]] = (
    ("Hello World", "hello-world"),
    ("  a  b  ", "a-b"),
    ("", ""),
    ("A--B", "a-b"),
    ("x1 Y2", "x1-y2"),
    ("!!", ""),
)
SLUG = '''import re

def slugify(text: str) -> str:
    """Words joined by hyphens."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))
'''
SLUG_RAW = "def slugify(text):\n    return text.lower().replace(' ', '-')\n"
SLUG_CRASHES = "def slugify(text):\n    return '-'.join(text.lower().split())[0:99] + text[0][:0]\n"


def alfreds_reply(cases: Sequence[tuple[Any, Any]], parameter: str = "text") -> str:
    """ALFRED's reply for a function of one parameter."""
    return json.dumps(
        {"cases": [{"arguments": {parameter: given}, "raises": "", "expected": result} for given, result in cases]}
    )


@dataclass
class Craftsmen:
    """What the personas say: the specification, ALFRED's tests, and BRICK's texts one after the other."""

    texts: Sequence[str]
    specification: Mapping[str, Any] | str = field(default_factory=lambda: SLUG_SPEC)
    tests: str = field(default_factory=lambda: alfreds_reply(SLUG_TESTS))
    written: int = 0

    async def __call__(self, request: ChatRequest) -> str | Mapping[str, Any] | None:
        match request.step:
            case "tool_specification":
                return self.specification
            case "tool_tests":
                return self.tests
            case "tool_writing" | "tool_mending":
                self.written += 1
                return f"Here it is:\n```python\n{self.texts[min(self.written, len(self.texts)) - 1]}```\n"
        return None


@dataclass
class Workshop:
    forge: ToolForge
    engine: ScriptedEngine
    manager: ProtoManager
    clock: ManualClock
    runner: Runner

    @property
    def registry(self) -> ToolRegistry:
        return self.forge.registry

    def prompts(self, step: str) -> list[str]:
        """What was asked in a step, in order."""
        return [request.messages[-1].content for request in self.engine.requests if request.step == step]


@contextmanager
def workshop(folder: Path, script: Callable[[ChatRequest], Any], runner: Runner | None = None) -> Iterator[Workshop]:
    clock = ManualClock()
    engine = ScriptedEngine(script)
    runner = runner or ApartRunner()
    with Store.open(folder / "image.a4ps", KeyFolder(folder / "keys"), clock) as store:
        manager = ProtoManager.over(store)
        registry = ToolRegistry(manager, runner)
        parts = ForgeParts(registry, engine, lambda name: Voice(shipped_codices()[name], MODEL), clock)
        forge = ToolForge(parts)
        try:
            yield Workshop(forge, engine, manager, clock, runner)
        finally:
            forge.close()
            manager.close()
