"""A card, an engine and people with questions on a simulated clock: what a scheduler's decisions cost in loads and time.

A planner looks at a `State` and gives moves; ours and its peers (`residency_peers.py`) are driven alike. Calls that run at
the same time share the card: two take twice as long each. A load slows nobody down, an unload takes no time.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from a4ps.inference.calls import Call, Hint, Model, SwitchCost, Who
from a4ps.inference.moves import Load, Move, Refuse, Start, Unload
from a4ps.inference.residency import State

#: What the society itself takes between two calls of a turn.
GAP_S = 0.005
#: Work that is less than this has been done: sums of floats are not exact.
MOMENT_S = 1e-9

#: The moves to begin, and when to ask again though nothing happened.
Planner: TypeAlias = Callable[[State], tuple[Sequence[Move], float | None]]


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a turn and how long the model takes for it where it has the card for itself."""

    model: Model
    seconds: float
    persona: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has one turn after another, the first at `start_s`."""

    turns: tuple[tuple[Step, ...], ...]
    start_s: float = 0.0
    who: Who = "architect"


@dataclass(frozen=True, slots=True)
class Card:
    """What they share."""

    budget_bytes: int
    cost: SwitchCost


@dataclass(slots=True)
class Run:
    """What came of it. `makespan_s` is when the last call ended; `switches_max` the most that a waiting call was passed
    over; `most_bytes` the most memory taken at once.
    """

    loads: int = 0
    loading_s: float = 0.0
    makespan_s: float = 0.0
    switches_max: int = 0
    most_bytes: int = 0
    turns: int = 0
    sequence: list[str] = field(default_factory=list)


def simulate(people: Sequence[Person], card: Card, planner: Planner, *, hints: bool = True) -> Run:
    """Let all turns run to their end. With `hints`, a turn announces its models when it begins.

    Raises `RuntimeError` where the planner leaves calls waiting for ever.
    """
    return _World(people, card, planner, hints=hints).run()


class _World:
    def __init__(self, people: Sequence[Person], card: Card, planner: Planner, *, hints: bool) -> None:
        self.people = people
        self.planner = planner
        self.hints = hints
        self.state = State(card.budget_bytes, card.cost)
        self.now_s = 0.0
        self.found = Run()
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.ticket = 0
        self.arrivals = 0
        self.left_s: dict[Call, float] = {}
        self.steps: dict[str, tuple[int, int, int]] = {}
        for number, person in enumerate(people):
            self._later(person.start_s, partial(self._turn, number, 0))

    def run(self) -> Run:
        while self.agenda or self.left_s:
            ends_s = self.now_s + min(self.left_s.values()) * len(self.left_s) if self.left_s else math.inf
            self._pass_until(min(ends_s, self.agenda[0][0] if self.agenda else math.inf))
            for call in [call for call, left_s in self.left_s.items() if left_s <= MOMENT_S]:
                self._end(call)
            while self.agenda and self.agenda[0][0] <= self.now_s:
                heapq.heappop(self.agenda)[2]()
            self._plan()
        if self.state.waiting:
            raise RuntimeError(f"{len(self.state.waiting)} calls wait for ever")
        return self.found

    def _pass_until(self, now_s: float) -> None:
        for call in self.left_s:
            self.left_s[call] -= (now_s - self.now_s) / len(self.left_s)
        self.now_s = now_s
        self.state = self.state.at(now_s)

    def _later(self, at_s: float, act: Callable[[], None]) -> None:
        self.ticket += 1
        heapq.heappush(self.agenda, (at_s, self.ticket, act))

    def _turn(self, number: int, turn: int) -> None:
        """The turn announces itself and makes its first call."""
        person = self.people[number]
        if turn == len(person.turns):
            return
        if self.hints:
            models = tuple(step.model for step in person.turns[turn])
            self.state = self.state.announced(Hint(f"{number}.{turn}", models, person.who))
        self._call(number, turn, 0)

    def _call(self, number: int, turn: int, place: int) -> None:
        person = self.people[number]
        step = person.turns[turn][place]
        self.arrivals += 1
        call = Call(f"{number}.{turn}.{place}", step.model, self.arrivals, step.persona, f"{number}.{turn}", person.who)
        self.steps[call.id] = (number, turn, place)
        self.state = self.state.arrived(call)

    def _end(self, call: Call) -> None:
        del self.left_s[call]
        self.state = self.state.ended(call.id)
        self.found.makespan_s = self.now_s
        number, turn, place = self.steps[call.id]
        if place + 1 < len(self.people[number].turns[turn]):
            self._later(self.now_s + GAP_S, partial(self._call, number, turn, place + 1))
        else:
            self.found.turns += 1
            self.state = self.state.forgotten(call.turn)
            self._later(self.now_s + GAP_S, partial(self._turn, number, turn + 1))

    def _loaded(self) -> None:
        self.state = self.state.loaded()

    def _plan(self) -> None:
        moves, ask_again_s = self.planner(self.state)
        for move in moves:
            self.state = self.state.did(move)
            match move:
                case Start(call):
                    number, turn, place = self.steps[call.id]
                    self.left_s[call] = self.people[number].turns[turn][place].seconds
                case Load(model, evict):
                    for each in evict:
                        self.state = self.state.left(each.base)
                    seconds = self.state.cost.seconds(model)
                    self.found.loads += 1
                    self.found.loading_s += seconds
                    self.found.sequence.append(str(model))
                    self._later(self.now_s + seconds, self._loaded)
                case Unload(model):
                    self.state = self.state.left(model.base)
                case Refuse():
                    raise RuntimeError(str(move))
            waiting = self.state.waiting
            self.found.switches_max = max(self.found.switches_max, *(each.switches for each in waiting), 0)
            self.found.most_bytes = max(self.found.most_bytes, self.state.held_bytes)
        if ask_again_s is not None and ask_again_s > self.now_s:
            self._later(ask_again_s, lambda: None)
