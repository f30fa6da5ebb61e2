"""Plots: the society's figures over time. The last ten minutes are live; longer ranges are those of the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.figures import SeriesRequest
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Plot, Tabs, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Outcome, Seen, pane
from a4ps.ui.model.panes.curves import Curves
from a4ps.ui.model.panes.parts import waiting
from a4ps.ui.model.society import Society

#: A range's name → its seconds, None for everything.
RANGES: Final[Mapping[str, float | None]] = {"1 min": 60.0, "10 min": 600.0, "1 h": 3_600.0, "all": None}
_LIVE_S: Final = 600.0

#: Series → title, unit, lower and upper bound of its axis; the order in which they are shown.
FIGURES: Final[Mapping[str, tuple[str, str, float | None, float | None]]] = {
    "dissonance": ("dissonance of the argument", "", 0.0, 1.0),
    "character": ("characterological dissonance", "", 0.0, 1.0),
    "load.tokens": ("cognitive load: tokens in flight", "tokens", 0.0, None),
    "load.fill": ("cognitive load: context filled", "", 0.0, 1.0),
    "load.queue": ("calls that wait", "", 0.0, None),
    "tokens_per_s": ("tokens per second", "tokens/s", 0.0, None),
    "latency": ("seconds to the answer", "s", 0.0, None),
    "vram_bytes": ("graphics memory in use", "GB", 0.0, None),
    "swaps": ("swaps of living objects", "", 0.0, None),
    "loads": ("loads of models", "", 0.0, None),
    "spills": ("spills out of the card", "", 0.0, None),
    "commits": ("commits", "", 0.0, None),
    "sandbox.calls": ("sandboxed calls", "", 0.0, None),
    "drift": ("drift from the codex", "", 0.0, 1.0),
}
_SCALES: Final[Mapping[str, float]] = {"vram_bytes": 1e-9}


@pane
class Plots:
    """State: `range`, a key of RANGES; `until`, the second at which it was paused, 0 while live; `subject`: a persona."""

    name = "plots"
    size = (470.0, 560.0)

    def __init__(self) -> None:
        self._curves = Curves()

    def title(self, seen: Seen) -> str:
        return f"Plots: {seen.state['subject']}" if seen.state.get("subject") else "Plots"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - as every pane's
        if (RANGES[_range(state)] or float("inf")) <= _LIVE_S:
            return ()
        return (Need("series", SeriesRequest(), frozenset({"reply", "series", "gauge", "probe"})),)

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(self._blocks(seen))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        match act.verb:
            case "range":
                return [Keep({**seen.state, "range": str(act.about["value"])})]
            case "pause":
                live = [points[-1][0] for points in seen.society.series.values() if points]
                paused = 0.0 if seen.state.get("until") else max(live, default=0.0)
                return [Keep({**seen.state, "until": paused})]
        return ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:  # noqa: ARG002 - it asks for nothing to be done
        return ()

    def _blocks(self, seen: Seen) -> Iterator[Block]:
        state = seen.state
        yield Tabs(tuple(RANGES), _range(state), Act("range"))
        yield Buttons((Button("Go on" if state.get("until") else "Pause", Act("pause")),))
        if "series" in seen.answers:
            yield from waiting(seen.answer("series"), "the figures")
        shown = 0
        kept = _kept(seen)
        for name in sorted({*kept, *seen.society.series}, key=_order):
            if not _is_wanted(name, str(state.get("subject", ""))):
                continue
            cut = self._curves.of(
                kept.get(name, ()),
                seen.society.series.get(name, ()),
                _SCALES.get(name, 1.0),
                RANGES[_range(state)],
                float(state.get("until", 0.0)),
            )
            if not cut:
                continue
            shown += 1
            title, unit, low, high = figure(name)
            whose = name.partition(".")[2] if _family(name) in ("character", "drift") else ""
            seconds = RANGES[_range(state)] or max(60.0, cut[-1][0] - cut[0][0])
            yield Plot(name, f"{title} · {whose}" if whose else title, cut, unit, low, high, seconds=seconds)
        if not shown:
            yield say("There are no figures of that time.", "muted")
            yield say("They come with the first answer; choose a longer range to look further back.", "muted")


def in_units(name: str, points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """A series' points in the unit that `figure` gives it."""
    scale = _SCALES.get(name)
    return points if scale is None else [(at_s, value * scale) for at_s, value in points]


def figure(name: str) -> tuple[str, str, float | None, float | None]:
    """What a series is called, its unit, and the bounds of its axis."""
    return FIGURES.get(_family(name), (name, "", None, None))


def _kept(seen: Seen) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Series → its points in the image, as far as they are asked for."""
    answered = seen.answer("series").value if "series" in seen.answers else None
    kept: Mapping[str, Sequence[Mapping[str, Any]]] = {} if answered is None else answered["series"]
    return kept


def _range(state: State) -> str:
    chosen = str(state.get("range", "10 min"))
    return chosen if chosen in RANGES else "10 min"


def _family(name: str) -> str:
    """What a series is one of: drift-1.BRICK is a drift."""
    if name in FIGURES:
        return name
    return name.partition(".")[0].partition("-")[0]


def _order(name: str) -> tuple[int, str]:
    order = list(FIGURES)
    family = _family(name)
    return (order.index(family) if family in order else len(order)), name


def _is_wanted(name: str, subject: str) -> bool:
    """All, or those that are one persona's or everybody's."""
    if not subject or _family(name) not in ("character", "drift"):
        return True
    return subject in name.split(".")
