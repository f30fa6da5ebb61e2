"""What a process that will be killed does to an image, and what each of its acts comes to.

The table at the end has both sides of each act: what the dying child does, and what its commit makes of all the Protos,
so that the parent, which reads the commits back, knows every slot of every one of them. An act that is to be met by kills
too is one more line there.

Whatever an act does is named by its key, `SEED.WORKER.COUNT.ACT`; a commit's reason begins with it, and says behind a
space what the parent has to know besides.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from a4ps.errors import CallerError, Conflict, UnknownProto
from a4ps.image.changes import Change
from a4ps.image.forgetting import ImageTexts
from a4ps.image.image_file import FORMAT
from a4ps.image.portable import read_portable
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.text_export import import_text
from a4ps.sought import BAR, Sought

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
PAIR = ("BRICK", "ROBIN")
COMMON = "ALFRED"
WORKERS = 3
INSTALL = "install"
MIGRATE = "migrate"
OLD = Path(__file__).parents[1] / "data" / "formats" / "image-1"
"""An image of an earlier format, with its keys, that some images of the campaign begin as."""
NO_COMMIT, REFUSED = 0, -1
SECRET_OF = "secret of "
RESUMED = "resumed"
"""What the keys of commits begin with that go on with a forgetting of somebody who was killed."""
BALLAST_BYTES = 150_000

State = Mapping[str, Mapping[str, Any]]
"""Name → slots; the source of a method `m` stands under "m()"."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one image and what is written from it lie."""

    folder: Path

    @property
    def image(self) -> Path:
        return self.folder / "home" / "image.a4ps"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def kept(self) -> Path:
        """What the image was before it was migrated."""
        return self.image.with_name("image-format-1.a4ps")

    def is_old(self) -> bool:
        """Whether the next opening migrates: SQLite's header says the format, and no earlier one is changed in place."""
        if not self.image.exists():
            return False
        with self.image.open("rb") as file:
            return int.from_bytes(file.read(64)[60:]) < FORMAT

    def portable(self, worker: int) -> Path:
        return self.folder / "files" / f"{worker}.portable"

    def backup(self, worker: int) -> Path:
        return self.folder / "backups" / f"{worker}.a4ps"

    def export(self, worker: int) -> Path:
        return self.folder / "exports" / str(worker)


class Worker:
    """One thread of a child."""

    def __init__(self, manager: ProtoManager, place: Place, seed: int, number: int) -> None:
        self.manager = manager
        self.place = place
        self.number = number
        self.name = f"{seed}.{number}"
        self.chance = random.Random(self.name)
        self.swapped: list[int] = []
        self.count = 0

    def choose(self, wanted: str | None) -> str:
        """The key of the next act, which is `wanted` or drawn."""
        (drawn,) = self.chance.choices(list(ACTS), [act.weight for act in ACTS.values()])
        self.count += 1
        return f"{self.name}.{self.count}.{wanted or drawn}"

    def do(self, key: str) -> int:
        """The generation of the commit that it made, NO_COMMIT where it is done without one, REFUSED where it is not."""
        try:
            return ACTS[act_of(key)].do(self, key)
        except (Conflict, UnknownProto):
            # UnknownProto: another worker's takeover was faster.
            return REFUSED


def act_of(key: str) -> str:
    return key.rpartition(".")[2]


def worker_of(key: str) -> int:
    return int(key.split(".")[1])


def everybody() -> dict[str, Proto]:
    """The Protos that an image begins with, beside those of the earlier format, one of which has a name of these."""
    protos = {name: Proto(name, CODEX, state={"a": 0, "b": 0, "last": ""}) for name in PAIR}
    protos[COMMON] = Proto(COMMON, CODEX, state={"contended": ""})
    for number in range(WORKERS):
        protos[f"own {number}"] = Proto(f"own {number}", CODEX, state={"n": 0, "list": [], "told": []})
    return protos


class Past(NamedTuple):
    """What the parent knows: the state after each commit of the chain, and after whatever was committed at a time."""

    states: Sequence[State]
    at: Mapping[datetime, State]


class Found(NamedTuple):
    """A commit that the parent has read."""

    key: str
    besides: str
    changes: Sequence[Change]


def _amount(key: str) -> int:
    return random.Random(key).randrange(1, 9)


def _with(state: State, **slots: Mapping[str, Any]) -> State:
    return {**state, **{name: {**state[name], **changed} for name, changed in slots.items()}}


def transact(worker: Worker, key: str) -> int:
    """Both of the pair, and a third one: what one loses, another gains."""
    with worker.manager.transaction(reason=key) as tx:
        for name, sign in zip(PAIR, (1, -1), strict=True):
            state = tx.edit(name).state
            state["a"] += sign * _amount(key)
            state["b"] -= sign * _amount(key)
            state["last"] = key
        tx.edit(COMMON).state[f"done by {worker.number}"] = key
    return tx.changes[0].generation


def _transacted(before: State, found: Found, past: Past) -> State:
    amount, key = _amount(found.key), found.key
    brick, robin = (before[name] for name in PAIR)
    return _with(
        before,
        BRICK={"a": brick["a"] + amount, "b": brick["b"] - amount, "last": key},
        ROBIN={"a": robin["a"] - amount, "b": robin["b"] + amount, "last": key},
        ALFRED={f"done by {worker_of(key)}": key},
    )


def _ballast(key: str) -> dict[str, bytes]:
    """Now and then, so that SQLite writes its log back in the middle."""
    chance = random.Random(key)
    return {"ballast": chance.randbytes(BALLAST_BYTES)} if chance.random() < 0.05 else {}


def swap(worker: Worker, key: str) -> int:
    draft = worker.manager.get_proto(f"own {worker.number}").clone()
    draft.state["n"] += 1
    draft.state["list"].append(key)
    draft.state.update(_ballast(key))
    worker.swapped.append(worker.manager.atomic_swap(draft, reason=key).generation)
    return worker.swapped[-1]


def _swapped(before: State, found: Found, past: Past) -> State:
    name = f"own {worker_of(found.key)}"
    own = before[name]
    return _with(before, **{name: {"n": own["n"] + 1, "list": [*own["list"], found.key], **_ballast(found.key)}})


def contend(worker: Worker, key: str) -> int:
    """A slot that every worker writes: of two that began alike, one is refused."""
    draft = worker.manager.get_proto(COMMON).clone()
    draft.state["contended"] = key
    return worker.manager.atomic_swap(draft, reason=key).generation


def _contended(before: State, found: Found, past: Past) -> State:
    return _with(before, ALFRED={"contended": found.key})


def revert(worker: Worker, key: str) -> int:
    if not worker.swapped:
        return REFUSED
    swapped = worker.swapped.pop()
    return worker.manager.revert(swapped, reason=f"{key} {swapped}")[0].generation


def _reverted(before: State, found: Found, past: Past) -> State:
    name, generation = f"own {worker_of(found.key)}", int(found.besides)
    was, became = past.states[generation - 2][name], past.states[generation - 1][name]
    touched = {slot for slot in became if was.get(slot) != became[slot]}
    kept = {slot: value for slot, value in before[name].items() if slot not in touched}
    return {**before, name: kept | {slot: was[slot] for slot in touched & was.keys()}}


def tell(worker: Worker, key: str) -> int:
    """Something that nothing else says."""
    with worker.manager.transaction(reason=key) as tx:
        tx.edit(f"own {worker.number}").state["told"].append(_secret(key))
    return tx.changes[0].generation


def _secret(key: str) -> str:
    return f"{SECRET_OF}{key}"


def _told(before: State, found: Found, past: Past) -> State:
    name = f"own {worker_of(found.key)}"
    return _with(before, **{name: {"told": [*before[name]["told"], _secret(found.key)]}})


def forget(worker: Worker, key: str) -> int:
    """The first of what this worker told and what was not forgotten yet."""
    told = [each for each in worker.manager.get_proto(f"own {worker.number}").state["told"] if each != BAR]
    if not told:
        return REFUSED
    texts = ImageTexts(worker.manager)
    before = worker.manager.store.generation
    sought = Sought(texts=(told[0],))
    reason = f"{key} {told[0].removeprefix(SECRET_OF)}"
    texts.begin(sought, reason=reason)
    texts.remove(sought, reason=reason)
    return _generation_of(worker.manager, key, before)


def finish_forgetting(manager: ProtoManager) -> None:
    """What an opening does first; the history says what it was that was cut off."""
    texts = ImageTexts(manager)
    for sought in texts.begun():
        key = sought.texts[0].removeprefix(SECRET_OF)
        texts.remove(sought, reason=f"{RESUMED}.{worker_of(key)}.{manager.store.generation}.forget {key}")
    texts.finish()


def _forgotten(before: State, found: Found, past: Past) -> State:
    """Told by one worker, and by a takeover perhaps known to be told again; never by another."""
    name = f"own {worker_of(found.besides)}"
    told = [BAR if each == _secret(found.besides) else each for each in before[name]["told"]]
    return _with(before, **{name: {"told": told}})


def define(worker: Worker, key: str) -> int:
    with worker.manager.transaction(reason=key) as tx:
        tx.edit(f"own {worker.number}").define("count", _source(key), author="architect")
    return tx.changes[0].generation


def _source(key: str) -> str:
    return f"def count(self):\n    return {key!r}\n"


def _defined(before: State, found: Found, past: Past) -> State:
    return _with(before, **{f"own {worker_of(found.key)}": {"count()": _source(found.key)}})


def come_and_go(worker: Worker, key: str) -> int:
    name = f"passing {worker.number}"
    if name in worker.manager:
        return worker.manager.remove_proto(name, reason=key).generation
    draft = Proto(name, CODEX, parents=(COMMON,))
    worker.manager.register_proto(draft, reason=key)
    # Not what the handle has: another worker's takeover may have made that, or have removed it.
    return draft.version


def _came_or_went(before: State, found: Found, past: Past) -> State:
    name = f"passing {worker_of(found.key)}"
    return {each: before[each] for each in before if each != name} if name in before else {**before, name: {}}


def save(worker: Worker, key: str) -> int:
    worker.manager.save_image(worker.place.portable(worker.number))
    return NO_COMMIT


def load(worker: Worker, key: str) -> int:
    file = worker.place.portable(worker.number)
    if not file.exists():
        return REFUSED
    before = worker.manager.store.generation
    at = read_portable(file, worker.manager.store.keys).created_at
    worker.manager.load(file, reason=f"{key} {at.isoformat()}")
    return _generation_of(worker.manager, key, before)


def export(worker: Worker, key: str) -> int:
    worker.manager.export_text(worker.place.export(worker.number))
    return NO_COMMIT


def bring_in(worker: Worker, key: str) -> int:
    folder = worker.place.export(worker.number)
    before = worker.manager.store.generation
    try:
        at = import_text(folder).created_at
    except CallerError:
        # There is none, or the one who wrote it was killed.
        return REFUSED
    worker.manager.import_text(folder, reason=f"{key} {at.isoformat()}")
    return _generation_of(worker.manager, key, before)


def _generation_of(manager: ProtoManager, key: str, after: int) -> int:
    """Of a takeover, which does not tell; NO_COMMIT where no Proto differed, so that no change has the key."""
    for generation in range(after + 1, manager.store.generation + 1):
        with suppress(UnknownProto):
            if manager.changes(generation)[0].reason.startswith(f"{key} "):
                return generation
    return NO_COMMIT


def _taken_over(before: State, found: Found, past: Past) -> State:
    return past.at[datetime.fromisoformat(found.besides)]


def back_up(worker: Worker, key: str) -> int:
    """To the same name each time, where a killed one may have left something."""
    file = worker.place.backup(worker.number)
    file.unlink(missing_ok=True)
    worker.manager.backup(file)
    return NO_COMMIT


def _installed(before: State, found: Found, past: Past) -> State:
    return {**before, **{name: dict(proto.state) for name, proto in everybody().items()}}


Expect = Callable[[State, Found, Past], State]


@dataclass(frozen=True, slots=True)
class Act:
    """How often it is done, what is done, and the state after its commit (None where it makes none).

    `changes` is how many Protos one commit of it changes, where that is always the same.
    """

    weight: float
    do: Callable[[Worker, str], int]
    expect: Expect | None = None
    changes: int | None = 1


ACTS: dict[str, Act] = {
    "transact": Act(8, transact, _transacted, 3),
    "swap": Act(6, swap, _swapped),
    "contend": Act(4, contend, _contended),
    "revert": Act(4, revert, _reverted),
    "tell": Act(2, tell, _told),
    "forget": Act(2, forget, _forgotten),
    "define": Act(2, define, _defined),
    "come_and_go": Act(2, come_and_go, _came_or_went),
    "back_up": Act(1.5, back_up),
    "save": Act(2, save),
    "load": Act(1.5, load, _taken_over, None),
    "export": Act(1.2, export),
    "bring_in": Act(1.5, bring_in, _taken_over, None),
}

EXPECTED: dict[str, tuple[Expect, int | None]] = {
    INSTALL: (_installed, 3 + WORKERS),
    **{name: (act.expect, act.changes) for name, act in ACTS.items() if act.expect is not None},
}
