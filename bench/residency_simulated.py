"""The traces of the residency bench, on a simulated clock: 20 turns of the society, and random ones.

A turn is plan ALFRED → thesis BRICK → antithesis ROBIN → research BABS → synthesis ALFRED; a call takes 2 to 8 s, a load
3 s, the society itself 5 ms between two calls. Turns announce their models, as ours do; the peers don't listen. Random
traces have at most 16 calls of 2 to 5 models in 2 to 6 turns; "exclusive" is that one model fits at a time, "some fit"
that sizes vary from a quarter of the budget to nearly all of it; they begin together or within 40 s.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from a4ps.inference.calls import EMBEDDED, OLLAMA, Model, SwitchCost
from a4ps.inference.catalog import canonical, load_catalog
from a4ps.inference.moves import Move
from a4ps.inference.residency import State
from a4ps.inference.schedule import SWITCHES_MAX, plan
from bench.residency_optimum import CALLS_MAX, least_loading_s, loads_in_order
from bench.residency_peers import first_come, ollama_queue, sequential
from bench.residency_sim import Card, Person, Planner, Run, Step, simulate

TURNS = 20
SPEAKERS = ("ALFRED", "BRICK", "ROBIN", "BABS", "ALFRED")
PEERS: Mapping[str, Planner] = {"first come": first_come, "sequential": sequential, "Ollama queue": ollama_queue}
GB = 10**9
#: A real server with room for one model, asked for A, B, C, D three times over: what it loaded (its trace 22).
RECORDED_LOADS = 12


@dataclass(frozen=True, slots=True)
class Trace:
    """20 turns and what each planner made of them. `floor` is the causal floor, 0 where turns can be interleaved."""

    title: str
    ours: Run
    peers: Mapping[str, Run]
    floor: int = 0

    def per_turn(self, run: Run) -> float:
        return run.loads / run.turns

    def beside(self, figure: str) -> str:
        """Ours and the peers' in words, with the ratios."""
        own = getattr(self.ours, figure)
        told = (f"{name} {value:.4g} (x {own / value:.2f})" for name, value in self._peers(figure))
        return f"ours {own:.4g}; " + ", ".join(told)

    def beside_per_three(self) -> str:
        return ", ".join(f"{name} {self.per_turn(run) * 3:.3g}" for name, run in self.peers.items())

    def _peers(self, figure: str) -> list[tuple[str, float]]:
        return [(name, getattr(run, figure)) for name, run in self.peers.items()]


@dataclass(frozen=True, slots=True)
class RandomTraces:
    """Many random traces of one kind. Ratios: loading over the least there is (where all begin together), time over a
    peer's. `slower` counts the traces in which ours took more than a thousandth longer than first come.
    """

    kind: str
    exclusive: bool
    traces: int
    worst_over_least: float | None
    mean_over_least: Mapping[str, float]
    worst_time: Mapping[str, float]
    mean_time: Mapping[str, float]
    slower: int

    def least_beside(self) -> str:
        return ", ".join(f"{name} mean {value:.3f}" for name, value in self.mean_over_least.items() if name != "ours")


@dataclass(frozen=True, slots=True)
class Simulated:
    """Everything that was simulated."""

    traces: tuple[Trace, ...]
    random: tuple[RandomTraces, ...]
    switches_most: int
    switches_bound: int
    memory_most: float
    recorded_loads: int
    recorded_loads_here: int
    plans: int
    plan_ms: float
    plan_most_ms: float

    def trace(self, title: str) -> Trace:
        return next(trace for trace in self.traces if trace.title == title)


@dataclass(slots=True)
class _Ours:
    """The scheduler as a planner, with what must hold of it in every run and what its plans cost."""

    switches_most: int = 0
    memory_most: float = 0.0
    seconds: list[float] = field(default_factory=list)

    def planner(self, state: State) -> tuple[Sequence[Move], float | None]:
        began = time.perf_counter()
        planned = plan(state)
        self.seconds.append(time.perf_counter() - began)
        return planned.moves, planned.ask_again_s

    def run(self, people: Sequence[Person], card: Card) -> Run:
        run = simulate(people, card, self.planner)
        self.switches_most = max(self.switches_most, run.switches_max)
        self.memory_most = max(self.memory_most, run.most_bytes / card.budget_bytes)
        return run


def measure_simulated(count: int) -> Simulated:
    """All traces; `count` random ones of each kind."""
    ours = _Ours()
    traces = tuple(_traces(ours))
    kinds = [(exclusive, within_s) for exclusive in (True, False) for within_s in (0.0, 40.0)]
    rows = tuple(_random_traces(ours, count, exclusive, within_s) for exclusive, within_s in kinds)
    return Simulated(
        traces,
        rows,
        ours.switches_most,
        SWITCHES_MAX,
        ours.memory_most,
        RECORDED_LOADS,
        _recorded_again(),
        len(ours.seconds),
        sum(ours.seconds) / len(ours.seconds) * 1000,
        max(ours.seconds) * 1000,
    )


def _traces(ours: _Ours) -> list[Trace]:
    four = {name: Model(name.lower(), name.lower(), 5 * GB) for name in SPEAKERS}
    loras = {name: Model(name.lower(), "base", 5 * GB, lora=name) for name in SPEAKERS}
    rows: list[tuple[str, Mapping[str, Model], int, float, SwitchCost]] = [
        ("one at a time", four, 1, 0.0, OLLAMA),
        ("three at once", four, 3, 0.0, OLLAMA),
        ("three, 7 s apart", four, 3, 7.0, OLLAMA),
        ("duo", _profile("duo", exclusive=True), 1, 0.0, OLLAMA),
        ("duo, three at once", _profile("duo", exclusive=True), 3, 0.0, OLLAMA),
        ("fast", _profile("fast", exclusive=True), 3, 0.0, OLLAMA),
        ("four LoRAs, embedded", loras, 3, 0.0, EMBEDDED),
        ("four LoRAs, Ollama", loras, 3, 0.0, OLLAMA),
        ("four in their sizes, three 7 s apart", _profile("four", exclusive=False), 3, 7.0, OLLAMA),
    ]
    found = []
    for title, models, people_count, apart_s, cost in rows:
        chance = random.Random(20)
        turns = [tuple(Step(models[name], chance.uniform(2, 8), name) for name in SPEAKERS) for _ in range(TURNS)]
        people = [Person(tuple(turns[one::people_count]), one * apart_s) for one in range(people_count)]
        # What 8 GB of video memory leave: 10 % less.
        card = Card(int(7.2 * GB), cost)
        in_order = [step.model for turn in turns for step in turn]
        floor = loads_in_order(in_order, cost) if people_count == 1 else 0
        peers = {name: simulate(people, card, planner) for name, planner in PEERS.items()}
        found.append(Trace(title, ours.run(people, card), peers, floor))
    return found


def _profile(name: str, *, exclusive: bool) -> dict[str, Model]:
    """The models of a profile of the catalog, in their sizes, or so large that one fits at a time."""
    catalog = load_catalog()
    return {
        persona: Model(model, model, 5 * GB if exclusive else int(catalog.sizes_gb[canonical(model)] * GB))
        for persona, model in catalog.profiles[name].models.items()
    }


def _random_traces(ours: _Ours, count: int, exclusive: bool, within_s: float) -> RandomTraces:
    over_least: dict[str, list[float]] = {"ours": [], **{name: [] for name in PEERS}}
    over_time: dict[str, list[float]] = {name: [] for name in PEERS}
    for seed in range(count):
        people = _random_people(random.Random(seed), exclusive, within_s)
        card = Card(8 * GB, OLLAMA)
        run = ours.run(people, card)
        others = {name: simulate(people, card, planner) for name, planner in PEERS.items()}
        for name, other in others.items():
            over_time[name].append(run.makespan_s / other.makespan_s)
        if not within_s:
            turns = [[step.model for step in person.turns[0]] for person in people]
            least_s = least_loading_s(turns, card.budget_bytes, card.cost)
            for name, each in {"ours": run, **others}.items():
                over_least[name].append(each.loading_s / least_s)
    beginning = "begun within 40 s" if within_s else "begun together"
    return RandomTraces(
        f"{'exclusive' if exclusive else 'some fit'}, {beginning}",
        exclusive,
        count,
        max(over_least["ours"], default=None),
        {name: sum(each) / count for name, each in over_least.items() if each},
        {name: max(each) for name, each in over_time.items()},
        {name: sum(each) / count for name, each in over_time.items()},
        sum(ratio > 1.001 for ratio in over_time["first come"]),
    )


def _random_people(chance: random.Random, exclusive: bool, within_s: float) -> list[Person]:
    sizes_gb = [5 if exclusive else chance.randint(2, 7) for _ in range(chance.randint(2, 5))]
    models = [Model(f"m{number}", f"m{number}", size * GB) for number, size in enumerate(sizes_gb)]
    people: list[Person] = []
    left = CALLS_MAX
    for _ in range(chance.randint(2, 6)):
        length = min(left, chance.randint(1, 6))
        left -= length
        if length:
            turn = tuple(Step(chance.choice(models), chance.uniform(1, 6)) for _ in range(length))
            people.append(Person((turn,), chance.uniform(0, within_s)))
    return people


def _recorded_again() -> int:
    """The recorded experiment with our model of Ollama's queue."""
    models = [Model(name, name, 5 * GB) for name in "ABCD"]
    turn = tuple(Step(model, 1.0) for model in models * 3)
    return simulate([Person((turn,))], Card(8 * GB, OLLAMA), ollama_queue).loads
