"""A desk without a backend whose world, society and windows are those of the concept's drawing. No Kivy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from a4ps.ui.desk import Desk
from a4ps.ui.model.arrangement import first_world
from a4ps.ui.model.blocks import (
    Act,
    Bar,
    Block,
    Button,
    Buttons,
    Code,
    Columns,
    Entry,
    Line,
    Mark,
    Marks,
    Plot,
    Rule,
    SideBySide,
    Span,
    Tabs,
    Tone,
    say,
)
from a4ps.ui.model.morph import State, World
from a4ps.ui.model.pane import Effect, Keep, Need, Outcome, Pane, Seen
from a4ps.ui.model.society import Contribution, Persona, Society, TurnSeen
from tests.ui.fake_link import FakeLink

MB = 1_000_000


class MockPane:
    """A pane whose blocks are given, and which notes what is done in it."""

    size = (460.0, 380.0)

    def __init__(self, name: str, title: str, blocks: Callable[[State], Sequence[Block]]) -> None:
        self.name, self._title, self._blocks = name, title, blocks
        self.acts: list[Act] = []

    def title(self, seen: Seen) -> str:
        return self._title

    def needs(self, state: State, society: Society) -> Sequence[Need]:
        return ()

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return self._blocks(seen.state)

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        self.acts.append(act)
        if act.verb in ("tab", "show"):
            return [Keep({**seen.state, act.verb: act.about["value"]})]
        return []

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        return []


def wave(name: str, middle: float, swing: float, number: int = 240) -> tuple[tuple[float, float], ...]:
    """A made-up series of the last ten minutes."""
    phase = sum(map(ord, name))
    return tuple(
        (1000 + at * 2.5, middle + swing * math.sin(at / 17 + phase) + swing * 0.2 * math.sin(at * 1.7))
        for at in range(number)
    )


def inspector(state: State) -> list[Block]:
    tab = state.get("tab", "Plots")
    head = Tabs(("Slots", "Methods", "Plots", "History", "Evidence"), tab, Act("tab"))
    if tab == "Slots":
        slots: list[Block] = [
            Entry(f"s{n}", f"'value {n}'", Act("set", {"n": n}), f"state.slot_{n}", mono=True) for n in range(40)
        ]
        return [head, *slots]
    if tab == "Methods":
        return [
            head,
            Line((Span("soften", mono=True), Span("  v3  tested", "ok")), act=Act("method"), chosen=True),
            Code("def soften(self, text):\n    return self.invoke_llm(f'Shorter: {text}')", marked=(2,)),
            SideBySide(
                ("v16", "v17"),
                (("def soften(self):", "def soften(self, text):"), ("    pass", "    return 1"), (None, "#")),
            ),
        ]
    return [
        head,
        Plot("dissonance", "characterological dissonance", wave("dissonance", 0.6, 0.2), "", 0, 1),
        Plot("load", "cognitive load", wave("load", 900, 400), "tok"),
        Plot("tokens", "tokens/s", wave("tokens", 40, 4), "tok/s", height=70),
        Entry("mood", "'uneasy'", Act("set"), "state.mood", mono=True),
        Entry(
            "voice",
            "'warm, present, brief'",
            Act("set"),
            "codex.voice",
            mono=True,
            fault="a voice has at least one word: write some",
        ),
        Buttons(
            (Button("try on clone", Act("try")), Button("accept", Act("accept"), "good")),
            Span("31 tests pass · shadow 12/12", "ok"),
        ),
    ]


def transcript(_: State) -> list[Block]:
    said = (
        ("ALFRED", "Plan: weigh effort against joy; two rounds at most."),
        ("BRICK", "Thesis. Go: one binary, 10 hours to release."),
        ("ROBIN", "But which would they still open in March?"),
        ("BABS", 'You said on 3 Nov: "I want to feel the machine."'),
        (
            "BRICK",
            "Conceded in part: motivation is a resource. And a longer line, so that something has to be wrapped here.",
        ),
    )
    rows: list[Block] = [Columns((Span(name, "strong", persona=name), Span(text)), (0.2, 0.8)) for name, text in said]
    rows.insert(4, say("memory #88 · 0.81 · from turn 396", "muted", indent=5))
    links: tuple[tuple[str, Tone], ...] = (("stop", "bad"), ("why?", "link"), ("run again on today's minds", "link"))
    return [
        *rows,
        Bar(0.63, "dissonance 0.52 → 0.31 · round 2 of 3 · 1.8 s outside the model"),
        Line(tuple(span for name, tone in links for span in (Span(name, tone, act=Act(name)), Span("    ")))),
    ]


def approvals(_: State) -> list[Block]:
    return [
        say("BRICK wants to use a tool it wrote:  gpx_to_table(path)", "strong"),
        say("spec by ALFRED · 9 tests written blind · 3rd attempt · gVisor", "muted"),
        say("reads: the file you dropped · writes: nothing · network: none", "muted"),
        Buttons(
            (
                Button("approve", Act("approve"), "good"),
                Button("show code", Act("code")),
                Button("deny", Act("deny"), "bad"),
            )
        ),
    ]


def workspace(_: State) -> list[Block]:
    return [
        Entry(
            "code", "robin.dissonance_with(brick)\nrobin.define('soften', '''…''')", Act("do"), "self is ROBIN", mono=True,
            lines=4, fills=True, keys={"ctrl-d": Act("do"), "ctrl-p": Act("print")},
        ),
        Line((Span("→ change 1204 · tested in gVisor · ", "ok"), Span("revert", "link", act=Act("revert")))),
        say("Ctrl-D do   Ctrl-P print   Ctrl-I inspect", "muted"),
    ]  # fmt: skip


def tool_bench(_: State) -> list[Block]:
    tools: tuple[tuple[str, str, str, Tone], ...] = (
        ("gpx_to_table", "v1", "awaits approval", "warn"),
        ("iso_week", "v2", "mended itself Tue · 214 calls", "ok"),
        ("unit_convert", "v1", "31 calls · 0 failures", "ok"),
        ("pdf_tables", "v3", "failed once: retry in 6 d", "bad"),
    )
    return [
        Columns(
            (Span(name, mono=True), Span(version, "muted", mono=True), Span(what, tone)),
            (0.34, 0.1, 0.56),
            Act("open", {"tool": name}),
        )
        for name, version, what, tone in tools
    ]


def timeline(_: State) -> list[Block]:
    marks = []
    for number in range(60):
        tone = ("calm", "muted", "muted", "warn", "link", "muted")[number * 7 % 6]
        marks.append(
            Mark(
                number / 60, cast("Tone", tone), Act("mark", {"n": number}), large=number % 9 == 4, chosen=number == 52
            )
        )
    return [
        Marks(marks, Act("scrub"), 0.9),
        Line((Span("v16→v17 ROBIN.soften by architect   "), Span("revert this one", "link", act=Act("revert")))),
    ]


def everything(state: State) -> list[Block]:
    """Each kind of block, and what is hostile."""
    return [
        say("A strong word", "strong"), Rule(), say("مرحبا بالعالم · שלום עולם · 你好，世界 · naïve — ☃ ⚙ ❝ ✓"),
        say("\x00\x07\ud800 control and half a pair\ttab"), Bar(None, "nobody knows how far"),
        Code("\n".join(f"line {n} " + "x" * (n % 90) for n in range(60)), first=9990),
        say("w" * 400), Entry("long", "hint", Act("e"), lines=3, label="three lines"),
        Buttons((Button("no", Act("no"), enabled=False),)),
    ]  # fmt: skip


def huge(_: State) -> list[Block]:
    """One megabyte of text in each of three kinds of block, and two thousand rows."""
    return [
        say("slot " * (MB // 5)),
        Code("code " * (MB // 5)),
        Code("\n".join("a line of code" for _ in range(MB // 15))),
        *(Columns((Span(str(n)), Span("row")), (0.5, 0.5)) for n in range(2000)),
    ]


def society() -> Society:
    """As in the drawing."""
    four = (
        Persona("ALFRED", "steward", "nemotron-3-nano:4b", activity="waits for the antithesis", dissonance=0.12),
        Persona(
            "BRICK", "logic", "qwen3.5:9b", activity="speaking · 41 tok/s", dissonance=0.22, load=0.8,
            saying="Two weekends are 32 hours. Go reaches a released binary in about 10 of them; "
            "Rust needs those hours for the borrow",
        ),
        Persona("ROBIN", "empathy", "gemma4-e4b", activity="disagrees, round 2", dissonance=0.78, load=0.35),
        Persona("BABS", "research", "qwen3.5:4b", activity="3 memories found", dissonance=0.30),
    )  # fmt: skip
    contributions = (
        Contribution("ALFRED", "plan", "Plan", 1),
        Contribution("BABS", "findings", "You said", 1),
        Contribution("BRICK", "thesis", "Thesis", 1),
        Contribution("ROBIN", "antithesis", "But", 1),
        Contribution("BRICK", "thesis", "Two", 2, done=False),
    )
    status: dict[str, Any] = {
        "image": {"generation": 1204, "path": "image.a4ps", "file_bytes": 8_000_000},
        "engine": {
            "name": "ollama", "budget_bytes": 8_000_000_000, "waiting": 2,
            "residents": [{"name": "qwen3.5:9b", "vram_bytes": 6_600_000_000}],
        },
    }  # fmt: skip
    turn = TurnSeen("412", "Rust or Go?", contributions, dissonance=(0.52, 0.31), running=True)
    return Society(
        link="live",
        epoch="e",
        sequence=1204,
        last_commit_at=1000.0,
        personas={each.name: each for each in four},
        turn=turn,
        status=status,
    )


class MockDesk:
    """`desk` on a fake link, its panes by name, and a clock that is set by hand."""

    def __init__(
        self,
        width: float = 1600,
        height: float = 1000,
        world: World | None = None,
        theme: str = "dark",
        scale: float = 1.0,
    ) -> None:
        made = (
            MockPane("inspector", "Inspector — ROBIN  v17", inspector),
            MockPane("transcript", "Transcript — turn 412", transcript),
            MockPane("approvals", "Approval needed", approvals),
            MockPane("workspace", "Workspace — self = robin", workspace),
            MockPane("tool_bench", "Tool bench", tool_bench),
            MockPane("timeline", "Timeline", timeline),
            MockPane("everything", "Everything", everything),
            MockPane("huge", "Huge", huge),
            MockPane("help", "Help", lambda _: [say("Help")]),
        )
        self.panes: Mapping[str, MockPane] = {each.name: each for each in made}
        panes: Mapping[str, Pane] = self.panes
        self.link = FakeLink()
        self.now_s = 100.0
        world = first_world(width, height) if world is None else world
        world = world.put(replace(world.root, state={"theme": theme, "scale": scale}))
        self.desk = Desk(self.link, world=world, panes=lambda: panes, now=lambda: self.now_s, clock=lambda: 1000.0)
        self.show(society())

    def show(self, known: Society) -> None:
        """This is what is known of the society now."""
        with self.desk.settling():
            self.desk.following.society = known
            self.desk._society_changed()

    def persona(self, name: str, **changes: Any) -> None:
        """Something about a persona is so now."""
        known = self.desk.society
        self.show(replace(known, personas={**known.personas, name: replace(known.personas[name], **changes)}))
