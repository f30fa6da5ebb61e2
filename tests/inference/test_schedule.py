"""The residency scheduler: the rules of `a4ps/inference/schedule.py`, one by one and under random events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a4ps.inference.calls import EMBEDDED, OLLAMA, Call, Hint, Model, SwitchCost, Who
from a4ps.inference.moves import Load, Move, Refuse, Start, Unload
from a4ps.inference.residency import State
from a4ps.inference.schedule import Bounds, Plan, Residency, plan

GB = 10**9
ALFRED = Model("nemotron", "nemotron", 5 * GB)
BRICK = Model("qwen9", "qwen9", 5 * GB)
ROBIN = Model("gemma", "gemma", 5 * GB)
BABS = Model("qwen4", "qwen4", 5 * GB)
BY_PERSONA = {"ALFRED": ALFRED, "BRICK": BRICK, "ROBIN": ROBIN, "BABS": BABS}


@dataclass(slots=True)
class World:
    """A state that is driven by hand: what is planned is done at once, what it takes time for ends when a test says so."""

    state: State = field(default_factory=lambda: State(8 * GB, OLLAMA))
    residency: Residency = "swap-aware"
    bounds: Bounds = field(default_factory=Bounds)
    arrivals: int = 0
    said: list[str] = field(default_factory=list)
    last: Plan = field(default_factory=lambda: Plan((), ()))

    def call(self, persona: str, model: Model | None = None, *, turn: str = "", who: Who = "architect") -> Call:
        self.arrivals += 1
        number = self.arrivals
        call = Call(f"c{number}", model or BY_PERSONA[persona], number, persona, turn or f"t{number}", who)
        self.state = self.state.arrived(call)
        return call

    def plan(self) -> Plan:
        """Plan, check what must hold of any plan, and do it."""
        self.last = plan(self.state, self.residency, self.bounds)
        for move in self.last.moves:
            self.check(move)
            self.said.append(str(move))
            self.state = self.state.did(move)
        again = plan(self.state, self.residency, self.bounds)
        assert not again.moves, "planning again after its moves have begun gives no further move"
        assert {wait.call for wait in self.last.waits} == {each.call for each in self.state.waiting}
        return self.last

    def check(self, move: Move) -> None:
        match move:
            case Start(call):
                assert self.state.serving(call.model), "a call starts only on its model"
            case Load(model, evict):
                assert not any(self.state.in_use(each.base) for each in evict), "nothing in use is evicted"
                assert self.state.loading is None
                assert model.base not in {each.base for each in self.state.residents if each.model not in evict}
            case Unload(model):
                assert not self.state.in_use(model.base), "nothing in use is unloaded"
            case Refuse(call):
                assert call.model.need_bytes > self.state.budget_bytes

    def settle(self) -> None:
        """What leaves has left and what loads is loaded, as often as there is any; calls go on running."""
        self.plan()
        while self.state.leaving or self.state.loading:
            for each in self.state.leaving:
                self.state = self.state.left(each.base)
            self.state = self.state.loaded()
            self.plan()

    def end(self, call: Call) -> None:
        self.state = self.state.ended(call.id)
        self.plan()

    def running(self) -> list[str]:
        return [call.persona for call in self.state.running]

    def resident(self) -> list[str]:
        return [each.model.name for each in self.state.residents]

    def why(self, call: Call) -> str:
        return next(str(wait) for wait in self.last.waits if wait.call == call)


def loads(world: World) -> list[str]:
    return [line for line in world.said if line.startswith("load ")]


# One rule after the other.


def test_what_fits_stays_and_nothing_is_evicted_for_it() -> None:
    small = [replace(model, need_bytes=2 * GB) for model in BY_PERSONA.values()]
    world = World()
    for model in [*small, *small]:
        call = world.call("ALFRED", model)
        world.settle()
        world.end(call)
    assert loads(world) == [f"load {model} (2.0 GB)" for model in small]


def test_a_load_serves_all_that_wait_for_it_before_the_next_one() -> None:
    world = World()
    first = world.call("ALFRED")
    world.settle()
    calls = [world.call(persona) for persona in ("BRICK", "ALFRED", "BRICK", "ALFRED")]
    world.plan()
    for call in (first, calls[1], calls[3]):
        assert world.running() == ["ALFRED"]
        assert world.state.resident(ALFRED.base)
        world.end(call)
    world.settle()
    assert loads(world) == ["load nemotron (5.0 GB)", "load qwen9 (5.0 GB) in place of nemotron"]
    world.end(calls[0])
    assert [call.id for call in world.state.running] == [calls[2].id]


def test_what_is_in_use_is_not_evicted_and_who_waits_is_told_why() -> None:
    world = World()
    brick = world.call("BRICK")
    world.settle()
    robin, babs = world.call("ROBIN"), world.call("BABS")
    world.plan()
    assert world.last.moves == ()
    assert world.why(robin) == "ROBIN waits for BRICK's model to finish"
    assert world.why(babs) == "BABS waits for BRICK's model to finish; 1 switch before it"
    world.end(brick)
    assert world.said[-1] == "load gemma (5.0 GB) in place of qwen9"
    assert world.why(robin) == "ROBIN waits while gemma loads"
    assert world.why(babs) == "BABS waits while gemma loads"


def test_calls_of_a_busy_model_are_told_whom_they_wait_for() -> None:
    world = World()
    world.call("ALFRED", ALFRED)
    world.settle()
    second = world.call("BABS", ALFRED)
    world.plan()
    assert world.why(second) == "BABS waits for ALFRED to finish: both use nemotron"


def test_evicted_is_what_is_used_again_latest() -> None:
    a, b, c = (Model(name, name, 3 * GB) for name in "abc")
    for order, victim in (((a, b), "b"), ((b, a), "a")):
        world = World()
        for model in (a, b):
            call = world.call("ALFRED", model)
            world.settle()
            world.end(call)
        world.state = world.state.announced(Hint("later", order))
        world.state = world.state.at(10)
        world.call("ALFRED", c)
        world.plan()
        assert world.said[-1] == f"load c (3.0 GB) in place of {victim}"


def test_without_announcements_the_longest_unused_is_evicted() -> None:
    a, b, c = (Model(name, name, 3 * GB) for name in "abc")
    world = World()
    for now_s, model in enumerate((a, b, a)):
        world.state = world.state.at(now_s)
        call = world.call("ALFRED", model)
        world.settle()
        world.end(call)
    world.call("ALFRED", c)
    world.plan()
    assert world.said[-1] == "load c (3.0 GB) in place of b"


def test_no_more_is_evicted_than_must_be() -> None:
    small, large, wanted = Model("small", "small", 2 * GB), Model("large", "large", 5 * GB), Model("w", "w", 4 * GB)
    world = World()
    for now_s, model in enumerate((small, large)):
        world.state = world.state.at(now_s)
        call = world.call("ALFRED", model)
        world.settle()
        world.end(call)
    world.call("ALFRED", wanted)
    world.plan()
    assert world.said[-1] == "load w (4.0 GB) in place of large"


def test_of_the_next_models_the_one_that_saves_loads_is_taken() -> None:
    """BRICK waits longer, but his model is needed again after ROBIN's, so ROBIN first costs one load less."""
    world = World()
    world.state = world.state.announced(Hint("one", (BRICK, BABS))).announced(Hint("two", (ROBIN, BRICK)))
    world.state = world.state.at(10)
    world.call("BRICK", turn="one")
    world.call("ROBIN", turn="two")
    world.plan()
    assert loads(world) == ["load gemma (5.0 GB)"]


def test_what_waited_when_its_model_was_loaded_is_served_however_many_there_are() -> None:
    world = World(bounds=Bounds(overtakes_max=2))
    world.state = world.state.announced(Hint("one", (BRICK, BABS))).announced(Hint("two", (ROBIN, BRICK)))
    world.state = world.state.at(10)
    world.call("BRICK", turn="one")
    calls = [world.call("ROBIN", turn=turn) for turn in ("two", "three", "four", "five", "six")]
    world.settle()
    for call in calls:
        assert world.state.running == (call,)
        world.end(call)
    assert loads(world)[-1] == "load qwen9 (5.0 GB) in place of gemma"


def test_a_turn_that_will_go_on_at_once_keeps_its_model_for_a_moment() -> None:
    world = World()
    world.state = world.state.announced(Hint("one", (ALFRED, ALFRED)))
    first = world.call("ALFRED", turn="one")
    world.settle()
    brick = world.call("BRICK", turn="two")
    world.end(first)
    assert loads(world) == ["load nemotron (5.0 GB)"]
    assert world.last.ask_again_s == world.bounds.pause_s
    assert world.why(brick) == "BRICK waits a moment: nemotron will be used again at once"
    kept = replace(world)
    kept.call("ALFRED", turn="one")
    kept.plan()
    assert kept.running() == ["ALFRED"]
    world.state = world.state.at(world.bounds.pause_s)
    world.plan()
    assert loads(world)[-1] == "load qwen9 (5.0 GB) in place of nemotron"


def test_the_architect_goes_before_background() -> None:
    world = World()
    world.call("ALFRED", who="background")
    world.settle()
    on_the_way = world.call("ALFRED", who="background")
    other = world.call("BABS", who="background")
    mine = world.call("ROBIN")
    world.end(world.state.running[0])
    assert world.said[-1] == "load gemma (5.0 GB) in place of nemotron"
    assert world.why(on_the_way) == "ALFRED waits while gemma loads"
    assert world.why(other) == "BABS waits while gemma loads; 1 switch before it"
    world.settle()
    assert world.running() == ["ROBIN"]
    assert world.why(other) == "BABS waits for ROBIN's model to finish; 1 switch before it"
    world.end(mine)
    world.settle()
    assert world.running() == ["ALFRED"]


def test_on_one_model_background_starts_later_but_not_never() -> None:
    world = World(bounds=Bounds(overtakes_max=2))
    running = world.call("ALFRED")
    world.settle()
    late = world.call("BABS", ALFRED, who="background")
    started = []
    for _ in range(4):
        world.call("ROBIN", ALFRED)
        world.end(running)
        (running,) = world.state.running
        started.append(running.persona)
    assert started == ["ROBIN", "ROBIN", "BABS", "ROBIN"]
    assert late.id not in {call.id for call in world.state.calls()}


def test_calls_of_the_loaded_model_do_not_starve_another() -> None:
    """What a real Ollama lets happen (trace 16): calls for its loaded model overtake a waiting eviction for ever."""
    world = World(bounds=Bounds(overtakes_max=3))
    running = world.call("ALFRED")
    world.settle()
    robin = world.call("ROBIN")
    rounds = 0
    while robin in [each.call for each in world.state.waiting]:
        world.call("ALFRED")
        world.end(running)
        if world.state.running:
            (running,) = world.state.running
            rounds += 1
        else:
            world.settle()
        assert rounds <= 3
    assert rounds == 3
    assert "ROBIN" in world.running()


def test_a_call_larger_than_the_budget_is_refused_with_what_would_fit() -> None:
    world = World(State(8 * GB, OLLAMA, known=(BRICK, Model("giant", "giant", 30 * GB))))
    world.call("BRICK", Model("huge", "huge", 9 * GB))
    world.plan()
    assert world.said == [
        "refuse BRICK's call: huge needs 9.0 GB and the budget for models is 8.0 GB; these would fit: qwen9 (5.0 GB)"
    ]
    assert not world.state.waiting


def test_a_model_found_larger_than_reckoned_is_not_loaded_for_ever() -> None:
    world = World()
    world.call("BRICK")
    world.plan()
    world.state = world.state.loaded(held_bytes=9 * GB)
    world.plan()
    assert [line.split()[0] for line in world.said] == ["load", "refuse", "unload"]


def test_leased_memory_is_waited_for_and_given_back() -> None:
    world = World()
    done = world.call("ALFRED")
    world.settle()
    world.end(done)
    world.state = replace(world.state, leased_bytes=4 * GB)
    call = world.call("BRICK")
    world.plan()
    assert world.said[-1] == "unload nemotron: the memory for models has become smaller"
    world.settle()
    assert world.why(call) == "BRICK waits for memory that training has taken"
    world.state = replace(world.state, leased_bytes=0)
    world.settle()
    assert world.running() == ["BRICK"]


def test_a_smaller_budget_lets_running_calls_end() -> None:
    world = World()
    call = world.call("ALFRED")
    world.settle()
    queued = world.call("BABS", ALFRED)
    world.state = replace(world.state, leased_bytes=4 * GB)
    world.plan()
    assert world.last.moves == ()
    world.end(call)
    assert world.said[-1].startswith("unload nemotron")
    assert world.why(queued) == "BABS waits for memory that training has taken"


def test_cancelled_calls_free_their_place() -> None:
    world = World()
    running = world.call("ALFRED")
    world.settle()
    robin, babs = world.call("ROBIN"), world.call("BABS")
    world.plan()
    world.end(robin)
    world.end(running)
    assert world.said[-1] == "load qwen4 (5.0 GB) in place of nemotron"
    world.end(babs)
    world.settle()
    assert world.resident() == ["qwen4"]


def test_what_waited_for_a_dead_resident_gets_a_new_load() -> None:
    world = World()
    world.call("ALFRED")
    world.settle()
    second = world.call("ALFRED")
    world.plan()
    world.state = world.state.died(ALFRED.base)
    world.settle()
    assert loads(world) == ["load nemotron (5.0 GB)"] * 2
    assert [call.id for call in world.state.running] == [second.id]


def test_a_load_that_failed_is_begun_again_for_whoever_still_waits() -> None:
    world = World()
    call = world.call("ALFRED")
    world.plan()
    world.state = world.state.died(ALFRED.base)
    world.settle()
    assert world.running() == ["ALFRED"]
    assert world.state.running == (call,)


def test_loras_of_a_resident_base_cost_a_load_in_ollama_only() -> None:
    loras = [Model(f"base-{name}", "base", 3 * GB, lora=name) for name in "abcd"]
    counts = {}
    for cost in (OLLAMA, EMBEDDED):
        world = World(State(8 * GB, cost))
        for model in [*loras, *loras]:
            call = world.call("ALFRED", model)
            world.settle()
            world.end(call)
        counts[cost.engine] = len(loads(world))
    assert counts == {"Ollama": 8, "llama.cpp": 1}


def test_sequential_loads_for_each_call_and_keeps_nothing() -> None:
    world = World(residency="sequential")
    first, second = world.call("ALFRED"), world.call("ALFRED")
    world.settle()
    assert world.running() == ["ALFRED"]
    world.end(first)
    world.settle()
    world.end(second)
    world.settle()
    assert len(loads(world)) == 2
    assert world.resident() == []


def test_sequential_keeps_the_order_of_arrival_the_architect_first_and_background_not_last_for_ever() -> None:
    world = World(residency="sequential", bounds=Bounds(switches_max=2))
    world.call("BABS", who="background")
    for _ in range(4):
        world.call("ALFRED")
    order = []
    while True:
        world.settle()
        if not world.state.running:
            break
        order += world.running()
        world.end(world.state.running[0])
    assert order == ["ALFRED", "ALFRED", "BABS", "ALFRED", "ALFRED"]


# Under random events.

ANY_MODELS = tuple(
    Model(f"m{size}{name}", name, size * GB) for name, size in zip("abcde", (2, 3, 5, 6, 8), strict=True)
)
SAME_SIZE = tuple(Model(name, name, 5 * GB) for name in "abcd")
SAME_SIZE_FIVE = tuple(Model(name, name, 5 * GB) for name in "abcde")
LORAS = (
    *(Model(f"x{lora}", "x", 3 * GB, lora) for lora in "12"),
    *(Model(f"y{lora}", "y", 4 * GB, lora) for lora in "123"),
)

EVENTS = st.lists(
    st.tuples(
        st.sampled_from("turn turn turn turn round round round end load left cancel die later".split()),
        st.integers(0, 10),
        st.integers(0, 10),
    ),
    max_size=80,
)
COSTS = st.sampled_from((OLLAMA, EMBEDDED, replace(OLLAMA, calls_at_once=3), replace(EMBEDDED, load_s_per_gb=1.0)))
SETS = st.sampled_from((ANY_MODELS, SAME_SIZE, LORAS))


@dataclass(slots=True)
class Chance(World):
    """Random events; what must always hold is checked after each."""

    models: tuple[Model, ...] = SAME_SIZE
    switches_limit: int = 0
    deaths: int = 0

    def happen(self, event: str, one: int, two: int) -> None:
        state = self.state
        match event:
            case "turn":
                turn = f"t{self.arrivals}"
                who: Who = "background" if two % 4 == 0 else "architect"
                ahead = tuple(self.models[(one + step * two) % len(self.models)] for step in range(1 + two % 4))
                self.state = state.announced(Hint(turn, ahead, who))
                self.call("P", ahead[0], turn=turn, who=who)
            case "end" if state.running:
                self.next(state.running[one % len(state.running)])
            case "round":
                self.settle()
                for call in self.state.running:
                    self.next(call)
            case "load" if state.loading and not state.leaving:
                self.state = state.loaded()
            case "left" if state.leaving:
                self.state = state.left(state.leaving[one % len(state.leaving)].base)
            case "cancel" if state.waiting:
                self.state = state.ended(state.waiting[one % len(state.waiting)].call.id)
            case "die":
                bases = [each.base for each in state.residents] + ([state.loading.model.base] if state.loading else [])
                if bases:
                    self.deaths += 1
                    self.state = state.died(bases[one % len(bases)])
            case "later":
                self.state = state.at(state.now_s + one / 10)
            case "lease":
                self.state = replace(state, leased_bytes=one * GB)
            case _:
                return
        self.plan()

    def next(self, call: Call) -> None:
        """A call ends, and its turn makes the next one that it announced."""
        self.state = self.state.ended(call.id)
        hint = next((hint for hint in self.state.hints if hint.turn == call.turn and hint.models), None)
        if hint:
            self.call("P", hint.models[0], turn=call.turn, who=call.who)

    def plan(self) -> Plan:
        planned = World.plan(self)
        assert self.state.held_bytes <= self.state.budget_bytes, "I7"
        assert self.state.overtakes <= self.bounds.overtakes_max, "rule 3"
        most = max((each.switches for each in self.state.waiting), default=0)
        if self.residency == "swap-aware":
            assert most <= (self.switches_limit or self.bounds.switches_max) + self.deaths, "I8"
        return planned

    def drain(self) -> None:
        """From here on everything ends well, so nobody may be left waiting."""
        for _ in range(2000):
            if not self.state.calls():
                return
            self.happen("later", 10, 0)
            for _ in self.state.leaving:
                self.happen("left", 0, 0)
            self.happen("load", 0, 0)
            self.happen("end", 0, 0)
        pytest.fail(f"calls wait for ever: {self.last}")


@given(EVENTS, COSTS, SETS, st.integers(1, 4))
@settings(max_examples=400)
def test_budget_is_kept_nobody_is_passed_over_too_often_and_everybody_is_served(
    events: Sequence[tuple[str, int, int]], cost: SwitchCost, models: tuple[Model, ...], overtakes_max: int
) -> None:
    """I7, I8 with the least bound that these models allow, and that no event leaves a call waiting for ever."""
    bounds = Bounds(switches_max=len(models) - 1, overtakes_max=overtakes_max)
    world = Chance(State(8 * GB, cost), bounds=bounds, models=models)
    for event in events:
        world.happen(*event)
    world.drain()


@given(EVENTS, COSTS, SETS)
@settings(max_examples=100)
def test_sequential_keeps_the_budget_and_serves_everybody(
    events: Sequence[tuple[str, int, int]], cost: SwitchCost, models: tuple[Model, ...]
) -> None:
    world = Chance(State(8 * GB, cost), "sequential", models=models)
    for event in events:
        world.happen(*event)
        assert len(world.state.residents) <= 1
    world.drain()


@given(EVENTS, st.lists(st.integers(0, 8), min_size=80, max_size=80), SETS)
@settings(max_examples=100)
def test_budget_is_kept_while_memory_is_lent_and_given_back(
    events: Sequence[tuple[str, int, int]], leased: Sequence[int], models: tuple[Model, ...]
) -> None:
    """I7. Who waits for lent memory is passed over, so the bound of I8 holds only from when it is given back."""
    world = Chance(State(8 * GB, OLLAMA), models=models, switches_limit=1000)
    for event, leased_gb in zip(events, leased, strict=False):
        world.happen(*event)
        world.happen("lease", leased_gb if leased_gb < 4 else 0, 0)
    world.happen("lease", 0, 0)
    world.drain()


@given(EVENTS)
@settings(max_examples=100)
def test_more_models_than_the_bound_allows_are_served_the_most_passed_over_first(
    events: Sequence[tuple[str, int, int]],
) -> None:
    """Five models can't all be in time within two switches; even so none waits for more than a load of each other."""
    world = Chance(
        State(8 * GB, OLLAMA), bounds=Bounds(switches_max=2, overtakes_max=3), models=SAME_SIZE_FIVE, switches_limit=4
    )
    for event in events:
        world.happen(*event)
    world.drain()
