"""The rules of a session, without sockets or clocks: what each side does about each thing that can happen.

A command is done once, whatever is lost, doubled, delayed or sent in another order: the client sends it under one key until
it hears `accepted`, and now and then until it has an outcome; the backend runs a key that it does not know, and answers one
that it knows. After a
restart of the backend the client greets it anew and sends again what has no outcome; what had been committed under the key
by then is found in the image (`a4ps.kernel.serving`), not here.

Both sides are tables: (state, what happened) → (state, what to do). A pair that is missing is a bug, and a test looks for
them. What is to be done comes back as effects for whoever has the sockets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeAlias

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
    Message,
    Ping,
    Pong,
    Refused,
    Result,
    Step,
    Welcome,
)

#: A command that nobody has acknowledged is sent again so often, and so is a wish to cancel.
RESEND_S = 0.5
#: What becomes of one that was acknowledged is asked so often: its outcome may have been lost on the way.
ASK_AGAIN_S = 5.0
#: Outcomes that are kept for a client that asks again: how many, of how many bytes together, and for how long.
KEPT_OUTCOMES, KEPT_BYTES, KEPT_S = 2_000, 64_000_000, 600.0
#: Commands of one session that run at once; more are refused until one is done.
RUNNING_MAX = 64

Outcome: TypeAlias = Result | Failure


# Effects


@dataclass(frozen=True, slots=True)
class Send:
    """Send `message` to `peer`, which is b"" on the client's side."""

    message: Message
    peer: bytes = b""


@dataclass(frozen=True, slots=True)
class Start:
    """Run a command; its outcome is given to `finished`."""

    command: Command
    role: Role
    client: str
    peer: bytes


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel a command that runs."""

    key: str


@dataclass(frozen=True, slots=True)
class Tell:
    """A step of a command of this client."""

    key: str
    step: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settle:
    """The outcome of a command of this client; told once."""

    key: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Opened:
    """The session is open, for the first time or again."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Closed:
    """The session cannot go on: it was refused, or the backend is silent (`fault` is None then)."""

    fault: Fault | None


Effect: TypeAlias = Send | Start | Stop | Tell | Settle | Opened | Closed


# The backend's side


class Peer(StrEnum):
    """What the backend knows of a client."""

    UNKNOWN = "unknown"
    OPEN = "open"


class Heard(StrEnum):
    """What can come of a client."""

    HELLO = "hello"
    BAD_HELLO = "hello that is refused"
    COMMAND = "new command"
    KNOWN_RUNNING = "command that runs"
    KNOWN_DONE = "command that is done"
    CANCEL = "cancel"
    PING = "ping"
    BYE = "bye"
    SILENCE = "silence"


class Do(StrEnum):
    """What the backend does about it."""

    WELCOME = "welcome"
    REFUSE = "refuse, with the reason"
    GREET_FIRST = "refuse: say hello"
    RUN = "accept and run"
    ACCEPT = "accept again, and go on telling"
    REPEAT = "send the outcome again"
    STOP = "cancel what runs"
    ANSWER = "pong"
    FORGET = "forget the session"
    NOTHING = "nothing"


BACKEND: dict[tuple[Peer, Heard], tuple[Peer, Do]] = {
    (Peer.UNKNOWN, Heard.HELLO): (Peer.OPEN, Do.WELCOME),
    (Peer.UNKNOWN, Heard.BAD_HELLO): (Peer.UNKNOWN, Do.REFUSE),
    (Peer.UNKNOWN, Heard.COMMAND): (Peer.UNKNOWN, Do.GREET_FIRST),
    (Peer.UNKNOWN, Heard.KNOWN_RUNNING): (Peer.UNKNOWN, Do.GREET_FIRST),
    (Peer.UNKNOWN, Heard.KNOWN_DONE): (Peer.UNKNOWN, Do.GREET_FIRST),
    (Peer.UNKNOWN, Heard.CANCEL): (Peer.UNKNOWN, Do.GREET_FIRST),
    (Peer.UNKNOWN, Heard.PING): (Peer.UNKNOWN, Do.GREET_FIRST),
    (Peer.UNKNOWN, Heard.BYE): (Peer.UNKNOWN, Do.NOTHING),
    (Peer.UNKNOWN, Heard.SILENCE): (Peer.UNKNOWN, Do.NOTHING),
    (Peer.OPEN, Heard.HELLO): (Peer.OPEN, Do.WELCOME),
    (Peer.OPEN, Heard.BAD_HELLO): (Peer.UNKNOWN, Do.REFUSE),
    (Peer.OPEN, Heard.COMMAND): (Peer.OPEN, Do.RUN),
    (Peer.OPEN, Heard.KNOWN_RUNNING): (Peer.OPEN, Do.ACCEPT),
    (Peer.OPEN, Heard.KNOWN_DONE): (Peer.OPEN, Do.REPEAT),
    (Peer.OPEN, Heard.CANCEL): (Peer.OPEN, Do.STOP),
    (Peer.OPEN, Heard.PING): (Peer.OPEN, Do.ANSWER),
    (Peer.OPEN, Heard.BYE): (Peer.UNKNOWN, Do.FORGET),
    (Peer.OPEN, Heard.SILENCE): (Peer.UNKNOWN, Do.FORGET),
}


@dataclass(slots=True)
class _Session:
    role: Role
    client: str
    heard_s: float
    running: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Running:
    """A command that runs: who is told of it, under which session it counts, and how many steps it has told."""

    peer: bytes
    owner: bytes
    role: Role
    steps: int = 0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class _Done:
    outcome: Outcome
    at_s: float
    role: Role
    size: int


class BackendSide:
    """All sessions of one backend. `judge` gives a client's role or why it has none; `welcome` makes the answer to it."""

    def __init__(self, judge: Callable[[Hello], Role | Fault], welcome: Callable[[Role], Welcome]) -> None:
        self._judge = judge
        self._welcome = welcome
        self._sessions: dict[bytes, _Session] = {}
        self._running: dict[str, _Running] = {}
        self._done: OrderedDict[str, _Done] = OrderedDict()
        self._kept_bytes = 0

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    @property
    def running(self) -> int:
        return len(self._running)

    def attends(self, key: str) -> bool:
        """Whether the session of whoever asked last for that command, which runs, is open."""
        running = self._running.get(key)
        return running is not None and running.peer in self._sessions

    def received(self, peer: bytes, message: FromClient, now_s: float) -> list[Effect]:
        """What to do about a message."""
        session = self._sessions.get(peer)
        if session is not None:
            session.heard_s = now_s
        judged = self._judge(message) if isinstance(message, Hello) else None
        heard = self._heard(session, message, judged)
        state, action = BACKEND[Peer.UNKNOWN if session is None else Peer.OPEN, heard]
        if state is Peer.UNKNOWN and session is not None:
            del self._sessions[peer]
        return self._act(action, peer, message, judged, now_s)

    def garbled(self, peer: bytes, fault: Fault, key: str) -> list[Effect]:
        """What to do about bytes that are no message: say so, whoever sent them; nothing else changes."""
        return [Send(Refused(fault=fault, key=key), peer)]

    def stepped(self, key: str, step: dict[str, Any]) -> list[Effect]:
        """What to do about a step of a command that runs."""
        running = self._running.get(key)
        if running is None or running.peer not in self._sessions:
            return []
        running.steps += 1
        return [Send(Step(key=key, number=running.steps, step=step), running.peer)]

    def finished(self, outcome: Outcome, now_s: float, size: int = 0) -> list[Effect]:
        """What to do about the outcome of a command, which has `size` bytes on the wire."""
        running = self._running.pop(outcome.key, None)
        if running is None:
            return []
        if (owner := self._sessions.get(running.owner)) is not None:
            owner.running.discard(outcome.key)
        self._keep(outcome, now_s, running.role, size)
        return [Send(outcome, running.peer)] if running.peer in self._sessions else []

    def tick(self, now_s: float) -> list[Effect]:
        """What to do about time: who has been silent is forgotten; what they asked for goes on."""
        self._expire(now_s)
        for peer, session in list(self._sessions.items()):
            if now_s - session.heard_s > LOST_AFTER_S:
                state, _ = BACKEND[Peer.OPEN, Heard.SILENCE]
                assert state is Peer.UNKNOWN
                del self._sessions[peer]
        return []

    def _heard(self, session: _Session | None, message: FromClient, judged: Role | Fault | None) -> Heard:
        match message:
            case Hello():
                return Heard.BAD_HELLO if isinstance(judged, Fault) else Heard.HELLO
            case Command(key=key):
                if key in self._running:
                    return Heard.KNOWN_RUNNING
                done = self._done.get(key)
                # A lower role's use of the key is another matter: what the key stands for, the image knows.
                known = done is not None and (session is None or done.role >= session.role)
                return Heard.KNOWN_DONE if known else Heard.COMMAND
            case Cancel():
                return Heard.CANCEL
            case Ping():
                return Heard.PING
            case Bye():
                return Heard.BYE

    def _act(
        self, action: Do, peer: bytes, message: FromClient, judged: Role | Fault | None, now_s: float
    ) -> list[Effect]:
        key = message.key if isinstance(message, Command | Cancel) else ""
        match action:
            case Do.WELCOME:
                assert isinstance(message, Hello)
                assert isinstance(judged, Role)
                running = {key for key, each in self._running.items() if each.owner == peer}
                self._sessions[peer] = _Session(judged, message.client, now_s, running)
                return [Send(self._welcome(judged), peer)]
            case Do.REFUSE:
                assert isinstance(judged, Fault)
                return [Send(Refused(fault=judged), peer)]
            case Do.GREET_FIRST:
                return [Send(Refused(fault=GREET_FIRST, key=key), peer)]
            case Do.RUN:
                assert isinstance(message, Command)
                return self._run(self._sessions[peer], peer, message, now_s)
            case Do.ACCEPT:
                command, role = self._running[key], self._sessions[peer].role
                if command.role > role:
                    return [Send(Refused(fault=NOT_YOURS, key=key), peer)]
                if command.role < role:
                    return []  # a lower role has the key; ours is sent again when that is done with it
                command.peer = peer
                return [Send(Accepted(key=key), peer)]
            case Do.REPEAT:
                done = self._done[key]
                if done.role > self._sessions[peer].role:
                    return [Send(Refused(fault=NOT_YOURS, key=key), peer)]
                return [Send(done.outcome, peer)]
            case Do.STOP:
                meant = self._running.get(key)
                if meant is None or meant.stopped or meant.role > self._sessions[peer].role:
                    return []
                meant.stopped = True
                return [Stop(key)]
            case Do.ANSWER:
                welcome = self._welcome(self._sessions[peer].role)
                return [Send(Pong(epoch=welcome.epoch, sequence=welcome.sequence), peer)]
            case Do.FORGET | Do.NOTHING:
                return []

    def _run(self, session: _Session, peer: bytes, command: Command, now_s: float) -> list[Effect]:
        if len(session.running) >= RUNNING_MAX:
            refusal = Failure(key=command.key, fault=TOO_MANY)
            self._keep(refusal, now_s, session.role, 0)  # a copy that comes later is not to be run after all
            return [Send(refusal, peer)]
        session.running.add(command.key)
        self._running[command.key] = _Running(peer, peer, session.role)
        return [Send(Accepted(key=command.key), peer), Start(command, session.role, session.client, peer)]

    def _keep(self, outcome: Outcome, now_s: float, role: Role, size: int) -> None:
        if (before := self._done.pop(outcome.key, None)) is not None:
            self._kept_bytes -= before.size
        self._done[outcome.key] = _Done(outcome, now_s, role, size)
        self._kept_bytes += size
        self._expire(now_s)

    def _expire(self, now_s: float) -> None:
        while self._done:
            oldest = next(iter(self._done.values()))
            few = len(self._done) <= KEPT_OUTCOMES and (self._kept_bytes <= KEPT_BYTES or len(self._done) == 1)
            if few and now_s - oldest.at_s <= KEPT_S:
                return
            self._done.popitem(last=False)
            self._kept_bytes -= oldest.size


GREET_FIRST = Fault(kind="greet_first", message="this session is not known: say hello", next="see PROTOCOL.md")
NOT_YOURS = Fault(kind="role_refused", message="that command is another role's", next="see PROTOCOL.md")
TOO_MANY = Fault(
    kind="backend_busy", message=f"{RUNNING_MAX} commands of this session are running", next="wait for one of them"
)
LOST = Fault(
    kind="backend_lost",
    message="the backend ended while it did this; whether it was done to its end is not known",
    next="look at what is there: a4ps events --last 5",
)


# The client's side


class Line(StrEnum):
    """What the client knows of the backend."""

    GREETING = "greeting"
    OPEN = "open"
    CLOSED = "closed"


class Got(StrEnum):
    """What can come of the backend."""

    WELCOME = "welcome"
    WELCOME_ANEW = "welcome of another epoch"
    GREET_FIRST = "refused: say hello"
    REFUSED = "refused, before the session is open"
    REFUSED_COMMAND = "refused, a command"
    ACCEPTED = "accepted"
    STEP = "step"
    OUTCOME = "outcome"
    PONG = "pong"
    PONG_ANEW = "pong of another epoch"
    SILENCE = "silence"


class Then(StrEnum):
    """What the client does about it."""

    SEND_UNACCEPTED = "send again what is not acknowledged"
    SEND_ALL = "send again whatever has no outcome"
    GREET = "say hello"
    CLOSE = "close, with the reason"
    FAIL = "that command failed"
    NOTE = "note it"
    TELL = "tell the step"
    SETTLE = "tell the outcome, once"
    NOTHING = "nothing"


CLIENT: dict[tuple[Line, Got], tuple[Line, Then]] = {
    (Line.GREETING, Got.WELCOME): (Line.OPEN, Then.SEND_UNACCEPTED),
    (Line.GREETING, Got.WELCOME_ANEW): (Line.OPEN, Then.SEND_ALL),
    (Line.GREETING, Got.GREET_FIRST): (Line.GREETING, Then.NOTHING),
    (Line.GREETING, Got.REFUSED): (Line.CLOSED, Then.CLOSE),
    (Line.GREETING, Got.REFUSED_COMMAND): (Line.GREETING, Then.FAIL),
    (Line.GREETING, Got.ACCEPTED): (Line.GREETING, Then.NOTE),
    (Line.GREETING, Got.STEP): (Line.GREETING, Then.TELL),
    (Line.GREETING, Got.OUTCOME): (Line.GREETING, Then.SETTLE),
    (Line.GREETING, Got.PONG): (Line.GREETING, Then.NOTHING),
    (Line.GREETING, Got.PONG_ANEW): (Line.GREETING, Then.NOTHING),
    (Line.GREETING, Got.SILENCE): (Line.CLOSED, Then.CLOSE),
    (Line.OPEN, Got.WELCOME): (Line.OPEN, Then.SEND_UNACCEPTED),
    (Line.OPEN, Got.WELCOME_ANEW): (Line.OPEN, Then.SEND_ALL),
    (Line.OPEN, Got.GREET_FIRST): (Line.GREETING, Then.GREET),
    (Line.OPEN, Got.REFUSED): (Line.OPEN, Then.NOTHING),
    (Line.OPEN, Got.REFUSED_COMMAND): (Line.OPEN, Then.FAIL),
    (Line.OPEN, Got.ACCEPTED): (Line.OPEN, Then.NOTE),
    (Line.OPEN, Got.STEP): (Line.OPEN, Then.TELL),
    (Line.OPEN, Got.OUTCOME): (Line.OPEN, Then.SETTLE),
    (Line.OPEN, Got.PONG): (Line.OPEN, Then.NOTHING),
    (Line.OPEN, Got.PONG_ANEW): (Line.GREETING, Then.GREET),
    (Line.OPEN, Got.SILENCE): (Line.CLOSED, Then.CLOSE),
    **{(Line.CLOSED, got): (Line.CLOSED, Then.NOTHING) for got in Got},
}


@dataclass(slots=True)
class _Pending:
    """A command without an outcome."""

    command: Command
    sent_s: float
    accepted: bool = False
    told: int = 0
    cancelled: bool = False
    cancel_sent_s: float = 0.0
    once: bool = False
    sent: bool = False


class ClientSide:
    """One client's session with one backend. Made anew, with `adopt`, where a closed one is to go on."""

    def __init__(self, hello: Hello, now_s: float) -> None:
        self.state = Line.GREETING
        self.welcome: Welcome | None = None
        self._hello = hello
        self._heard_s = self._sent_s = now_s
        self._pending: dict[str, _Pending] = {}

    def begin(self) -> list[Effect]:
        """The first thing to do."""
        return [Send(self._hello)]

    @property
    def pending(self) -> list[Command]:
        """The commands that have no outcome."""
        return [pending.command for pending in self._pending.values()]

    def adopt(self, before: ClientSide) -> None:
        """Go on with what another session has left open: it is sent when this one is open."""
        self.welcome = before.welcome
        self._pending = {key: replace(each, accepted=False) for key, each in before._pending.items()}

    def ask(self, command: Command, now_s: float, *, once: bool = False) -> list[Effect]:
        """Have a command done; with `once`, by no other backend than the one that it is first sent to."""
        self._pending[command.key] = _Pending(command, now_s, once=once, sent=self.state is Line.OPEN)
        return [Send(command)] if self.state is Line.OPEN else []

    def cancel(self, key: str, now_s: float) -> list[Effect]:
        """Have it stopped; its outcome comes all the same. The wish is sent until then."""
        if (pending := self._pending.get(key)) is None:
            return []
        pending.cancelled, pending.cancel_sent_s = True, now_s
        return [Send(Cancel(key=key))] if self.state is Line.OPEN else []

    def received(self, message: FromBackend, now_s: float) -> list[Effect]:
        """What to do about a message."""
        self._heard_s = now_s
        self.state, action = CLIENT[self.state, self._got(message)]
        return self._act(action, message, now_s)

    def tick(self, now_s: float) -> list[Effect]:
        """What to do about time: send again, show life, give up. Call it at least every half RESEND_S."""
        if self.state is Line.CLOSED:
            return []
        if now_s - self._heard_s > LOST_AFTER_S:
            self.state, _ = CLIENT[self.state, Got.SILENCE]
            return [Closed(None)]
        effects: list[Effect] = []
        if now_s - self._sent_s >= RESEND_S:
            self._sent_s = now_s
            effects.append(Send(self._hello if self.state is Line.GREETING else Ping()))
        if self.state is Line.OPEN:
            for pending in self._pending.values():
                if now_s - pending.sent_s >= (ASK_AGAIN_S if pending.accepted else RESEND_S):
                    pending.sent_s = now_s
                    effects.append(Send(pending.command))
                if pending.cancelled and now_s - pending.cancel_sent_s >= RESEND_S:
                    pending.cancel_sent_s = now_s
                    effects.append(Send(Cancel(key=pending.command.key)))
        return effects

    def _got(self, message: FromBackend) -> Got:
        match message:
            case Welcome(epoch=epoch):
                return Got.WELCOME_ANEW if self.welcome is not None and self.welcome.epoch != epoch else Got.WELCOME
            case Refused(fault=fault) if fault.kind == GREET_FIRST.kind:
                return Got.GREET_FIRST
            case Refused(key=key):
                return Got.REFUSED_COMMAND if key else Got.REFUSED
            case Accepted():
                return Got.ACCEPTED
            case Step():
                return Got.STEP
            case Pong(epoch=epoch):
                return Got.PONG_ANEW if self.welcome is not None and self.welcome.epoch != epoch else Got.PONG
            case _:
                return Got.OUTCOME

    def _act(self, action: Then, message: FromBackend, now_s: float) -> list[Effect]:
        match action:
            case Then.SEND_UNACCEPTED | Then.SEND_ALL:
                assert isinstance(message, Welcome)
                self.welcome = message
                lost = (
                    [each for each in self._pending.values() if each.once and each.sent]
                    if action is Then.SEND_ALL
                    else []
                )
                for each in lost:
                    del self._pending[each.command.key]
                again = [each for each in self._pending.values() if not each.accepted or action is Then.SEND_ALL]
                for each in again:
                    each.accepted, each.sent, each.sent_s = False, True, now_s
                    if action is Then.SEND_ALL:
                        each.told = 0
                    if each.cancelled:
                        each.cancel_sent_s = now_s
                cancelled = [Send(Cancel(key=each.command.key)) for each in again if each.cancelled]
                settled = [Settle(key, Failure(key=key, fault=LOST)) for key in (each.command.key for each in lost)]
                return [Opened(message), *settled, *(Send(each.command) for each in again), *cancelled]
            case Then.GREET:
                self._sent_s = now_s
                return [Send(self._hello)]
            case Then.CLOSE:
                return [Closed(message.fault if isinstance(message, Refused) else None)]
            case Then.FAIL:
                assert isinstance(message, Refused)
                return self._settled(Failure(key=message.key, fault=message.fault))
            case Then.NOTE:
                assert isinstance(message, Accepted)
                if (pending := self._pending.get(message.key)) is not None:
                    pending.accepted = True
                return []
            case Then.TELL:
                assert isinstance(message, Step)
                return self._told(message)
            case Then.SETTLE:
                assert isinstance(message, Result | Failure)
                return self._settled(message)
            case Then.NOTHING:
                return []

    def _told(self, message: Step) -> list[Effect]:
        pending = self._pending.get(message.key)
        if pending is None or message.number <= pending.told:
            return []
        pending.accepted = True
        pending.told = message.number
        return [Tell(message.key, message.step)]

    def _settled(self, outcome: Outcome) -> list[Effect]:
        return [] if self._pending.pop(outcome.key, None) is None else [Settle(outcome.key, outcome)]
