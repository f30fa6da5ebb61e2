"""The session's rules, both ends paired over a network that loses, doubles, delays and reorders, with restarts of either."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from a4ps.governance.roles import Role
from a4ps.protocol.messages import (
    LOST_AFTER_S,
    Accepted,
    Bye,
    Cancel,
    Command,
    Failure,
    Fault,
    FromBackend,
    FromClient,
    Hello,
    Ping,
    Pong,
    Refused,
    Result,
    Step,
    Welcome,
)
from a4ps.protocol.session import (
    ASK_AGAIN_S,
    BACKEND,
    CLIENT,
    KEPT_BYTES,
    KEPT_OUTCOMES,
    KEPT_S,
    RESEND_S,
    RUNNING_MAX,
    BackendSide,
    ClientSide,
    Closed,
    Effect,
    Got,
    Heard,
    Line,
    Opened,
    Peer,
    Send,
    Settle,
    Start,
    Stop,
    Tell,
)

#: ./check runs so many lives of the network; ./check --long ten times as many.
EXAMPLES = 2_000 if os.environ.get("A4PS_LONG") else 200

ROLES = {"g": Role.GUEST, "c": Role.CLIENT, "a": Role.ARCHITECT}


def hello(token: str = "a") -> Hello:
    return Hello(protocol=1, package="1", client="t", token=token)


def welcome_of(epoch: str, role: Role = Role.ARCHITECT) -> Welcome:
    return Welcome(
        protocol=1,
        package="1",
        role=role.label,  # type: ignore[arg-type]
        epoch=epoch,
        sequence=0,
        settings="",
        fleeting=False,
        busy=False,
    )


def backend(epoch: str = "1") -> BackendSide:
    def judge(said: Hello) -> Role | Fault:
        return ROLES.get(said.token) or Fault(kind="role_refused", message="nobody's")

    return BackendSide(judge, lambda role: welcome_of(epoch, role))


def opened(token: str = "a", peer: bytes = b"p", side: BackendSide | None = None) -> BackendSide:
    side = side or backend()
    side.received(peer, hello(token), 0.0)
    return side


def command(key: str = "key-00001") -> Command:
    return Command(key=key, request={"do": "x"})


def sent(effects: list[Effect]) -> list[Any]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


# The tables


def test_the_tables_are_complete() -> None:
    assert set(BACKEND) == set(product(Peer, Heard))
    assert set(CLIENT) == set(product(Line, Got))


def test_an_unknown_peer_is_asked_to_say_hello_whatever_it_wants() -> None:
    for message in (command(), Cancel(key="key-00001"), Ping()):
        [refusal] = sent(backend().received(b"p", message, 0.0))
        assert refusal.fault.kind == "greet_first"
    assert backend().received(b"p", Bye(), 0.0) == []


def test_a_bad_hello_is_refused_and_ends_an_open_session() -> None:
    side = opened()
    [refusal] = sent(side.received(b"p", hello("x"), 0.0))
    assert refusal.fault.kind == "role_refused"
    assert side.sessions == 0


def test_garbage_is_answered_and_changes_nothing() -> None:
    side = opened()
    fault = Fault(kind="protocol_error", message="no")
    assert side.garbled(b"p", fault, "k") == [Send(Refused(fault=fault, key="k"), b"p")]
    assert side.sessions == 1


# The backend's side


def test_a_command_runs_once_and_its_outcome_is_repeated() -> None:
    side = opened()
    assert [type(each) for each in side.received(b"p", command(), 0.0)] == [Send, Start]
    assert sent(side.received(b"p", command(), 0.1)) == [Accepted(key="key-00001")]
    done = Result(key="key-00001", value={})
    assert sent(side.finished(done, 0.2)) == [done]
    assert side.received(b"p", command(), 0.3) == [Send(done, b"p")]
    assert side.finished(done, 0.4) == []


def test_the_next_session_of_a_client_hears_the_rest() -> None:
    side = opened()
    side.received(b"p", command(), 0.0)
    assert side.attends("key-00001")
    side.received(b"p", Bye(), 0.1)
    assert not side.attends("key-00001")
    assert side.stepped("key-00001", {"n": 1}) == []
    opened(peer=b"q", side=side)
    side.received(b"q", command(), 0.2)
    assert side.attends("key-00001")
    assert side.stepped("key-00001", {"n": 2}) == [Send(Step(key="key-00001", number=1, step={"n": 2}), b"q")]
    assert side.finished(Result(key="key-00001", value={}), 0.3)[0].peer == b"q"  # type: ignore[union-attr]


def test_a_lower_role_cannot_take_a_key_from_a_higher_one() -> None:
    """It may have heard of the key with a commit; what its command comes to is not what the owner is told."""
    side = opened("a", b"p")
    opened("g", b"q", side)
    side.received(b"q", command(), 0.0)
    assert side.received(b"p", command(), 0.0) == []
    side.finished(Failure(key="key-00001", fault=Fault(kind="role_refused", message="")), 0.1)
    assert [type(each) for each in side.received(b"p", command(), 0.5)] == [Send, Start]
    done = Result(key="key-00001", value={})
    assert side.finished(done, 0.6) == [Send(done, b"p")]


@pytest.mark.parametrize("low", ["g", "c"])
def test_a_lower_role_cannot_see_or_stop_a_higher_ones_command(low: str) -> None:
    side = opened("a", b"p")
    opened(low, b"q", side)
    side.received(b"p", command(), 0.0)
    [refusal] = sent(side.received(b"q", command(), 0.0))
    assert refusal.fault.kind == "role_refused"
    assert side.received(b"q", Cancel(key="key-00001"), 0.0) == []
    assert side.stepped("key-00001", {})[0].peer == b"p"  # type: ignore[union-attr]
    side.finished(Result(key="key-00001", value={"secret": 1}), 0.1)
    [refusal] = sent(side.received(b"q", command(), 0.2))
    assert refusal.fault.kind == "role_refused"


def test_a_command_is_stopped_once_however_often_that_is_asked() -> None:
    side = opened()
    side.received(b"p", command(), 0.0)
    assert side.received(b"p", Cancel(key="key-00001"), 0.0) == [Stop("key-00001")]
    assert side.received(b"p", Cancel(key="key-00001"), 0.0) == []
    assert side.received(b"p", Cancel(key="another-1"), 0.0) == []


def test_beyond_so_many_a_session_has_to_wait_and_a_refused_copy_does_not_run_later() -> None:
    side = opened()
    for number in range(RUNNING_MAX):
        assert len(side.received(b"p", command(f"key-{number:05}"), 0.0)) == 2
    [refusal] = sent(side.received(b"p", command("one-more-1"), 0.0))
    assert isinstance(refusal, Failure)
    assert refusal.fault.kind == "backend_busy"
    side.finished(Result(key="key-00000", value={}), 0.0)
    assert sent(side.received(b"p", command("one-more-1"), 0.0)) == [refusal]
    assert len(side.received(b"p", command("one-more-2"), 0.0)) == 2
    opened("c", b"q", side)
    assert len(side.received(b"q", command("others-01"), 0.0)) == 2


def test_outcomes_are_kept_within_bounds() -> None:
    side = opened()
    for number in range(KEPT_OUTCOMES + 10):
        side.received(b"p", command(f"key-{number:05}"), 0.0)
        side.finished(Result(key=f"key-{number:05}", value={}), 0.0)
    assert [type(each) for each in side.received(b"p", command("key-00005"), 0.0)] == [Send, Start]
    assert [type(each) for each in side.received(b"p", command("key-00500"), 0.0)] == [Send]
    side.tick(KEPT_S + 1)
    opened(side=side)
    assert [type(each) for each in side.received(b"p", command("key-00500"), KEPT_S + 1)] == [Send, Start]


def test_the_newest_outcome_is_kept_however_large_and_large_ones_make_room() -> None:
    side = opened()
    for name in ("large-001", "large-002", "large-003"):
        side.received(b"p", command(name), 0.0)
        side.finished(Result(key=name, value={}), 0.0, size=KEPT_BYTES)
    assert [type(each) for each in side.received(b"p", command("large-003"), 0.0)] == [Send]
    assert [type(each) for each in side.received(b"p", command("large-002"), 0.0)] == [Send, Start]


def test_who_is_silent_is_forgotten_and_what_they_asked_for_goes_on() -> None:
    side = opened()
    side.received(b"p", command(), 0.0)
    side.tick(LOST_AFTER_S + 0.1)
    assert (side.sessions, side.running) == (0, 1)
    assert side.finished(Result(key="key-00001", value={}), 6.0) == []
    opened(side=side)
    assert isinstance(sent(side.received(b"p", command(), 6.0))[0], Result)


# The client's side


def client() -> ClientSide:
    side = ClientSide(hello(), 0.0)
    side.received(welcome_of("1"), 0.0)
    return side


def test_what_is_asked_before_the_session_is_open_is_sent_then() -> None:
    side = ClientSide(hello(), 0.0)
    assert side.ask(command(), 0.0) == []
    assert side.received(welcome_of("1"), 0.1) == [Opened(welcome_of("1")), Send(command())]


def test_a_lost_outcome_is_asked_for() -> None:
    side = client()
    side.ask(command(), 0.0)
    side.received(Accepted(key="key-00001"), 0.1)
    asked = [now for now in range(1, 20) if command() in sent(side.tick(now + _heard(side, now)))]
    assert asked[0] >= ASK_AGAIN_S
    assert len(asked) == 19 // int(ASK_AGAIN_S)


def _heard(side: ClientSide, now: float) -> float:
    side.received(Pong(epoch="1", sequence=0), now)
    return 0.0


def test_a_wish_to_cancel_outlives_a_lost_message_and_a_session() -> None:
    side = client()
    side.ask(command(), 0.0)
    assert side.cancel("key-00001", 0.1) == [Send(Cancel(key="key-00001"))]
    assert Cancel(key="key-00001") in sent(side.tick(0.1 + RESEND_S))
    after = ClientSide(hello(), 1.0)
    after.adopt(side)
    assert sent(after.received(welcome_of("2"), 1.0)) == [command(), Cancel(key="key-00001")]
    after.received(Failure(key="key-00001", fault=Fault(kind="stopped", message="")), 1.1)
    assert Cancel(key="key-00001") not in sent(after.tick(3.0))
    assert side.cancel("unknown-1", 0.1) == []


def test_a_backend_that_was_started_anew_tells_its_steps_from_one() -> None:
    side = client()
    side.ask(command(), 0.0)
    side.received(Step(key="key-00001", number=7, step={"old": 7}), 0.1)
    after = ClientSide(hello(), 1.0)
    after.adopt(side)
    assert after.welcome == welcome_of("1")
    after.received(welcome_of("2"), 1.0)
    assert after.received(Step(key="key-00001", number=1, step={"new": 1}), 1.1) == [Tell("key-00001", {"new": 1})]


def test_silence_closes_and_a_closed_session_does_nothing_more() -> None:
    side = client()
    side.ask(command(), 0.0)
    assert side.tick(LOST_AFTER_S + 1) == [Closed(None)]
    assert side.tick(LOST_AFTER_S + 2) == []
    assert side.received(welcome_of("1"), 7.0) == []
    assert side.pending == [command()]


def test_a_refused_greeting_closes_with_the_reason_and_a_refused_command_fails() -> None:
    fault = Fault(kind="role_refused", message="no")
    assert ClientSide(hello(), 0.0).received(Refused(fault=fault), 0.1) == [Closed(fault)]
    side = client()
    side.ask(command(), 0.0)
    settled = side.received(Refused(fault=fault, key="key-00001"), 0.1)
    assert settled == [Settle("key-00001", Failure(key="key-00001", fault=fault))]
    assert side.received(Refused(fault=fault), 0.1) == []


# Both, over a bad network


@dataclass
class Person:
    """A client program: its session, and what it was told."""

    token: str
    peer: bytes
    side: ClientSide
    asked: list[str] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    outcomes: dict[str, list[Any]] = field(default_factory=dict)
    steps: dict[str, list[tuple[str, int]]] = field(default_factory=dict)


class Network(RuleBasedStateMachine):
    """Three clients of three roles, one backend, and an image: `applied` holds what was committed under which key."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.epoch = 0
        self.side = backend("0")
        self.applied: Counter[str] = Counter()
        self.running: dict[str, tuple[Role, int]] = {}
        self.to_backend: list[tuple[bytes, FromClient]] = []
        self.to_client: list[tuple[bytes, FromBackend]] = []
        self.people: list[Person] = []
        self.sockets = 0
        self.keys = 0

    @initialize()
    def meet(self) -> None:
        for token in ROLES:
            person = Person(token, self._socket(), ClientSide(hello(token), self.now))
            self.people.append(person)
            self._done_by(person, person.side.begin())

    # What people do

    @rule(who=st.integers(0, 2))
    def ask(self, who: int) -> None:
        person = self.people[who]
        self.keys += 1
        key = f"{person.token}-command-{self.keys}"
        person.asked.append(key)
        self._done_by(person, person.side.ask(command(key), self.now))

    @rule(who=st.integers(0, 2), data=st.data())
    def cancel(self, who: int, data: st.DataObject) -> None:
        person = self.people[who]
        if person.asked:
            key = data.draw(st.sampled_from(person.asked[-3:]))
            person.cancelled.add(key)
            self._done_by(person, person.side.cancel(key, self.now))

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def pry(self, data: st.DataObject) -> None:
        """The guest sends what belongs to others, even before they do."""
        keys = [key for person in self.people[1:] for key in person.asked]
        if keys:
            key = data.draw(st.sampled_from(keys))
            wishes: list[FromClient] = [command(key), Cancel(key=key)]
            what = data.draw(st.sampled_from(wishes))
            self.to_backend.append((self.people[0].peer, what))

    @rule(who=st.integers(0, 2))
    def leave_and_come_back(self, who: int) -> None:
        person = self.people[who]
        self.to_backend.append((person.peer, Bye()))
        self._reconnect(person)

    # What the backend does

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        role, number = self.running[key]
        self.running[key] = role, number + 1
        self._done_by_backend(self.side.stepped(key, {"epoch": str(self.epoch), "number": number + 1}))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        """The image has the key from its first commit on."""
        key = data.draw(st.sampled_from(sorted(self.running)))
        if not self.applied[key]:
            self.applied[key] += 1

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self._finish(data.draw(st.sampled_from(sorted(self.running))))

    @rule()
    def restart(self) -> None:
        """Killed: what ran and was not committed is gone, and so is what was on the way from it."""
        self.epoch += 1
        self.side = backend(str(self.epoch))
        self.running.clear()
        self.to_client.clear()

    # What the network does

    @precondition(lambda self: self.to_backend)
    @rule(data=st.data())
    def arrive_at_backend(self, data: st.DataObject) -> None:
        self._to_backend(data.draw(st.integers(0, len(self.to_backend) - 1)))

    @precondition(lambda self: self.to_client)
    @rule(data=st.data())
    def arrive_at_client(self, data: st.DataObject) -> None:
        self._to_client(data.draw(st.integers(0, len(self.to_client) - 1)))

    @rule()
    def flow(self) -> None:
        """For once, all of it arrives."""
        for _ in range(3):
            while self.to_backend:
                self._to_backend(0)
            while self.to_client:
                self._to_client(0)

    @rule(data=st.data(), count=st.integers(1, 5))
    def lose(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            for line in (self.to_backend, self.to_client):
                if line:
                    line.pop(data.draw(st.integers(0, len(line) - 1)))

    @rule(data=st.data())
    def double(self, data: st.DataObject) -> None:
        for line in (self.to_backend, self.to_client):
            if line:
                line.append(data.draw(st.sampled_from(line)))  # type: ignore[arg-type]

    @rule(seconds=st.sampled_from([0.3, 0.6, 0.6, 2.0, 2.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._tick()

    @invariant()
    def nothing_is_done_or_told_twice(self) -> None:
        assert all(count == 1 for count in self.applied.values())
        for person in self.people:
            assert all(len(told) == 1 for told in person.outcomes.values())
            assert set(person.outcomes) <= set(person.asked)
            for steps in person.steps.values():
                for epoch in {epoch for epoch, _ in steps}:
                    numbers = [number for each, number in steps if each == epoch]
                    assert numbers == sorted(set(numbers))

    def teardown(self) -> None:
        """Once the network is good, every command has its outcome, and what was done is told as done."""
        for _ in range(80):
            self.now += 0.3
            self._tick()
            for _ in range(3):
                while self.to_backend:
                    self._to_backend(0)
                for key in sorted(self.running):
                    if not self.applied[key]:
                        self.applied[key] += 1
                    self._finish(key)
                while self.to_client:
                    self._to_client(0)
        self.nothing_is_done_or_told_twice()
        for person in self.people:
            assert person.side.pending == []
            assert sorted(person.outcomes) == sorted(person.asked)
            for key, [outcome] in person.outcomes.items():
                if isinstance(outcome, Result):
                    assert self.applied[key] == 1
                    assert outcome.value == {"for": person.token}
                else:
                    assert outcome.fault.kind == "stopped"
                    assert key in person.cancelled

    # How

    def _socket(self) -> bytes:
        self.sockets += 1
        return b"%d" % self.sockets

    def _reconnect(self, person: Person) -> None:
        before = person.side
        person.peer, person.side = self._socket(), ClientSide(hello(person.token), self.now)
        person.side.adopt(before)
        self._done_by(person, person.side.begin())

    def _tick(self) -> None:
        self._done_by_backend(self.side.tick(self.now))
        for person in self.people:
            self._done_by(person, person.side.tick(self.now))

    def _to_backend(self, index: int) -> None:
        peer, message = self.to_backend.pop(index)
        self._done_by_backend(self.side.received(peer, message, self.now))

    def _to_client(self, index: int) -> None:
        peer, message = self.to_client.pop(index)
        for person in self.people:
            if person.peer == peer:
                self._done_by(person, person.side.received(message, self.now))

    def _finish(self, key: str) -> None:
        """As the dispatcher does: what the image has is not done again."""
        role, _ = self.running.pop(key)
        self.applied[key] = 1
        token = next(token for token, each in ROLES.items() if each is role)
        self._done_by_backend(self.side.finished(Result(key=key, value={"for": token}), self.now))

    def _done_by_backend(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(message, peer):
                    self.to_client.append((peer, message))  # type: ignore[arg-type]
                case Start(command=started, role=role):
                    assert started.key not in self.running
                    owner = next(person for person in self.people if person.token == started.key[0])
                    if (
                        role < ROLES[owner.token]
                    ):  # a key that the image knows is another's, and a new one is the guest's own
                        failure = Failure(key=started.key, fault=Fault(kind="role_refused", message=""))
                        self._done_by_backend(self.side.finished(failure, self.now))
                    else:
                        self.running[started.key] = role, 0
                case Stop(key):
                    del self.running[key]
                    fault = Fault(kind="stopped", message="")
                    self._done_by_backend(self.side.finished(Failure(key=key, fault=fault), self.now))

    def _done_by(self, person: Person, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(message):
                    self.to_backend.append((person.peer, message))  # type: ignore[arg-type]
                case Tell(key, step):
                    person.steps.setdefault(key, []).append((step["epoch"], step["number"]))
                case Settle(key, outcome):
                    person.outcomes.setdefault(key, []).append(outcome)
                case Closed(fault):
                    assert fault is None
                    self._reconnect(person)


TestNetwork = Network.TestCase
TestNetwork.settings = settings(max_examples=EXAMPLES, stateful_step_count=80, deadline=None)
