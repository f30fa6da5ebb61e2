"""A4PS as a contender, and what its prompts weigh: the real store, turn log, graph and kernel over a scripted engine.

Default settings; five supersteps a turn (plan, thesis, antithesis, research, synthesis; no second round). The engine
streams word by word as a real one does, so the streaming of about 500 pieces a turn is included (`in_one_piece` leaves
it out, as the peers' models do), and so are recall over all earlier turns, the question's own durable commit, and the
reply's with its full-text index. Not included: a listener that draws anything, and real inference.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from a4ps.clock import SystemClock
from a4ps.image.keys import KeyFolder
from a4ps.image.model_ledger import ModelLedger
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.store import Store
from a4ps.image.turns import TurnLog
from a4ps.inference.engine import ChatRequest, Chunk, Finished, Text
from a4ps.inference.model_manager import ModelManager, Parts
from a4ps.inference.tokens import estimate_prompt
from a4ps.kernel.kernel import Kernel
from a4ps.memory.records import Records
from a4ps.memory.scrapbook import Scrapbook
from a4ps.personas.roster import NAMES, enrol
from a4ps.settings import Settings
from a4ps.society.dissonance import StanceName
from a4ps.society.graph import Deliberation
from a4ps.society.progress import Progress
from a4ps.society.society import Society
from bench.meter import TakeTurn
from bench.texts import TurnText, turn_text
from tests.doubles.scripted_engine import MODEL, ScriptedEngine

#: Turns in memory, and bytes of each contribution in them, when prompts are weighed.
MEMORY_TURNS = 50
LONG_BYTES = 1_800
TOPIC = "Which lanterns should the ferry crew of the old harbour buy before the winter storms"


@dataclass
class Script:
    """Says the text of the turn at hand. ROBIN takes `stance` on every point: "disagree" makes a second round."""

    text: TurnText = field(default_factory=lambda: turn_text(0))
    stance: StanceName = "agree"

    async def __call__(self, request: ChatRequest) -> str | Mapping[str, Any] | None:
        match request.step:
            case "plan":
                return {"kind": "question", "say": self.text.plan, "research": "what the crew paid for the last ones"}
            case "thesis":
                return self.text.thesis
            case "antithesis":
                stances = [{"point": point, "stance": self.stance, "weight": 0.5} for point in (1, 2, 3)]
                return {"stances": stances, "say": self.text.antithesis}
            case "findings":
                return self.text.findings
            case "synthesis":
                return self.text.synthesis
            case _:
                return None


class OnePieceEngine(ScriptedEngine):
    """Says each reply in one piece, and counts no prompt: the cheapest engine that ours could be given."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        said = await self.script(request)
        yield Text(said if isinstance(said, str) else json.dumps(said))
        yield Finished("stop", 300, 100)


@dataclass(frozen=True, slots=True)
class Ours:
    """An open kernel, its engine, and the script it follows."""

    kernel: Kernel
    engine: ScriptedEngine
    script: Script


@asynccontextmanager
async def opened(home: Path, engine_type: type[ScriptedEngine] = ScriptedEngine) -> AsyncIterator[Ours]:
    """A kernel in `home`; its keys lie there too, so that their bytes are counted."""
    clock = SystemClock()
    script = Script()
    engine = engine_type(script)
    store = Store.open(home / "image.a4ps", KeyFolder(home / "keys"), clock)
    log = TurnLog(store)
    deliberation = await Deliberation.open(home / "cache" / "checkpoints.sqlite", store.seal)
    settings = Settings.model_validate({})
    protos = ProtoManager.over(store)
    enrol(protos)
    manager = ModelManager(Parts(engine, ledger=ModelLedger(store)))
    society = Society(
        protos, dict.fromkeys(NAMES, MODEL), manager, settings, deliberation, Scrapbook(Records(store, log)), clock
    )
    kernel = Kernel(store, log, manager, society, clock)
    try:
        yield Ours(kernel, engine, script)
    finally:
        await kernel.aclose()


@asynccontextmanager
async def whole_turns(home: Path) -> AsyncIterator[TakeTurn]:
    """`Kernel.ask`, from the question to the committed reply, streamed word by word."""
    async with opened(home) as ours:
        yield asking(ours)


@asynccontextmanager
async def in_one_piece(home: Path) -> AsyncIterator[TakeTurn]:
    """The same with replies that come in one piece."""
    async with opened(home, OnePieceEngine) as ours:
        yield asking(ours)


def asking(ours: Ours) -> TakeTurn:
    """Takes a turn of a text, and sees to it that all of the text was said."""

    async def take(text: TurnText) -> None:
        ours.script.text = text
        ours.engine.requests.clear()
        answered = await ours.kernel.ask(text.question, ignore)
        assert tuple(said.text for said in answered.reply.contributions) == text.contributions

    return take


@dataclass(frozen=True, slots=True)
class Prompts:
    """Calls for a "hello"; the most prompt tokens of each step besides what other personas said; memories shown."""

    hello_calls: int
    hello_tokens: int
    tokens: dict[str, int]
    whole_tokens: dict[str, int]
    memories: int
    rounds: int

    @property
    def most(self) -> int:
        return max(self.tokens.values())


async def weigh_prompts() -> Prompts:
    """Fill a memory with long turns on one topic, then ask about it twice: in agreement, and in two rounds.

    Tokens are A4PS's own estimate, which errs towards too many. A quotation that counts as one is a quoted line that
    some persona said in this turn; the question, the memories, the codex and the template all count as the prompt's own.
    """
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as folder:
        async with opened(Path(folder)) as ours:
            await ours.kernel.ask("hello", ignore)
            hello = list(ours.engine.requests)
            for number in range(1, MEMORY_TURNS + 1):
                ours.script.text = turn_text(number, contribution_bytes=LONG_BYTES, topic=TOPIC)
                await ours.kernel.ask(ours.script.text.question, ignore)
            tokens: dict[str, int] = {}
            whole: dict[str, int] = {}
            memories = rounds = 0
            stances: tuple[StanceName, ...] = ("agree", "disagree")
            for number, stance in enumerate(stances, MEMORY_TURNS + 1):
                ours.engine.requests.clear()
                ours.script.text = turn_text(number, topic=TOPIC)
                ours.script.stance = stance
                answered = await ours.kernel.ask(ours.script.text.question, ignore)
                memories, rounds = len(answered.memories), answered.reply.rounds
                for request in ours.engine.requests:
                    step = request.step
                    own = _without_quotations(request, ours.script.text.contributions)
                    tokens[step] = max(tokens.get(step, 0), estimate_prompt(own.messages))
                    whole[step] = max(whole.get(step, 0), estimate_prompt(request.messages))
    return Prompts(
        hello_calls=len(hello),
        hello_tokens=max(estimate_prompt(request.messages) for request in hello),
        tokens=tokens,
        whole_tokens=whole,
        memories=memories,
        rounds=rounds,
    )


def _without_quotations(request: ChatRequest, said: tuple[str, ...]) -> ChatRequest:
    """`request` less the quoted lines that are in `said`, with or without the number of a point before them."""
    everything = "\n".join(said)

    def stays(line: str) -> bool:
        words = re.sub(r"^\d+\. ", "", line.removeprefix("> "))
        return not (line.startswith("> ") and words in everything)

    return replace(
        request,
        messages=tuple(
            replace(message, content="\n".join(filter(stays, message.content.split("\n"))))
            for message in request.messages
        ),
    )


def ignore(progress: Progress) -> None:
    """A listener for those who want the answer alone."""
    del progress
