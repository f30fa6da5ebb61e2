"""Saving and loading a hundred thousand objects, beside pickle and dill; opening an image with a long past.

As a program (`python -m bench.image_files FOLDER`) it opens the image there and reads one slot, and says how long that
took: `measure_opening` runs it in fresh processes, so that nothing is left from the time before.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from a4ps.image.codec import decode_slot, encode_slot, register_record
from a4ps.image.keys import KeyFolder
from a4ps.image.portable import read_portable, write_portable
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.snapshot import PortableImage, ProtoSnapshot
from bench.image_commits import ROOT, open_image

_IMAGE_ID = bytes(range(16))
_PROTOS, _SLOTS = 100, 10
_CODEX = {"role": "r", "model_name": "m", "system_prompt": "s"}
_WHEN = datetime(2026, 11, 22, tzinfo=UTC)
_IN_FLIGHT = 250

World = dict[str, dict[str, Any]]
"""Proto → slot → value."""


@register_record
@dataclass(frozen=True)
class Note:
    """A record of atoms."""

    number: int
    title: str
    weight: float
    done: bool


@register_record
@dataclass(frozen=True)
class Linked:
    """A record that leads to another one."""

    number: int
    title: str
    about: Linked | None


@dataclass(frozen=True, slots=True)
class Saving:
    """Seconds to a synced file and back, medians; ours from values and to values, and `bytes` as the image has them."""

    kind: str
    objects: int
    save: dict[str, float]
    load: dict[str, float]
    save_ratios: dict[str, float]
    load_ratios: dict[str, float]
    both_ratios: dict[str, float]
    file_bytes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of linked records through a portable file; what pickle says of it."""

    length: int
    whole: bool
    seconds: float
    pickle: str


@dataclass(frozen=True, slots=True)
class Opening:
    """Seconds from the call of `open` to the first slot that was read, each in a fresh process; building is aside."""

    protos: int
    changes: int
    seconds: list[float]
    build_seconds: float
    file_bytes: int
    cold: bool


KINDS: dict[str, Callable[[int, Any], Any]] = {
    "records": lambda number, _: Note(number, f"note {number}", number * 0.5, number % 2 == 0),
    # In pairs, since pickle cannot take long chains.
    "linked records": lambda number, before: Linked(number, f"note {number}", before if number % 2 else None),
    "dicts": lambda number, _: {"number": number, "title": f"note {number}", "weight": number * 0.5, "done": True},
}


def measure_saving(kind: str, objects: int, rounds: int) -> Saving:
    """Ours, pickle 5 and dill in turns (dill once: it takes seconds), over the same values."""
    import dill  # type: ignore[import-untyped]

    world = _world(kind, objects)
    formats: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {}
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as name:
        folder = Path(name)
        keys = KeyFolder(folder / "keys")
        keys.create(_IMAGE_ID)
        stored = _portable(world)
        formats["ours"] = (
            lambda path: write_portable(path, _portable(world), keys, _IMAGE_ID),
            lambda path: _values(read_portable(path, keys)),
        )
        formats["ours, as bytes"] = (
            lambda path: write_portable(path, stored, keys, _IMAGE_ID),
            lambda path: read_portable(path, keys),
        )
        formats["pickle"] = (
            lambda path: _write(path, pickle.dumps(world, 5)),
            lambda path: pickle.loads(path.read_bytes()),
        )
        formats["dill"] = (
            lambda path: _write(path, dill.dumps(world, protocol=5)),
            lambda path: dill.loads(path.read_bytes()),
        )
        saves: dict[str, list[float]] = {each: [] for each in formats}
        loads: dict[str, list[float]] = {each: [] for each in formats}
        sizes: dict[str, int] = {}
        for round_ in range(rounds):
            for each, (save, load) in formats.items():
                if each == "dill" and round_ > 0:
                    continue
                path = folder / each
                saves[each].append(_seconds(save, path))
                loads[each].append(_seconds(load, path))
                sizes[each] = path.stat().st_size
        if _values(read_portable(folder / "ours", keys)) != world:
            raise AssertionError("what was loaded is not what was saved")
    return Saving(
        kind,
        objects,
        {each: statistics.median(figures) for each, figures in saves.items()},
        {each: statistics.median(figures) for each, figures in loads.items()},
        _ratios(saves),
        _ratios(loads),
        _ratios({each: [sum(pair) for pair in zip(saves[each], loads[each], strict=True)] for each in formats}),
        sizes,
    )


def measure_chain(length: int) -> Chain:
    """Each record leads to the one before."""
    link: Linked | None = None
    for number in range(length):
        link = Linked(number, f"link {number}", link)
    try:
        pickle.dumps(link, 5)
        told = "works"
    except RecursionError:
        told = "RecursionError"
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as name:
        keys = KeyFolder(Path(name) / "keys")
        keys.create(_IMAGE_ID)
        path = Path(name) / "chain"
        began = time.perf_counter()
        write_portable(path, _portable({"P": {"chain": link}}), keys, _IMAGE_ID)
        back = _values(read_portable(path, keys))["P"]["chain"]
        seconds = time.perf_counter() - began
    numbers = []
    while isinstance(back, Linked):
        numbers.append(back.number)
        back = back.about
    return Chain(length, numbers == list(range(length - 1, -1, -1)), seconds, told)


def measure_opening(protos: int, changes: int, times: int) -> Opening:
    """Build an image of `protos` with `changes` commits, then open it `times` times."""
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as name:
        folder = Path(name)
        began = time.perf_counter()
        with open_image(folder) as manager:
            asyncio.run(_build(manager, protos, changes))
        built = time.perf_counter() - began
        image = folder / "image.a4ps"
        cold = True
        seconds = []
        for _ in range(times):
            cold = _forget(image) and cold
            command = [sys.executable, "-m", "bench.image_files", str(folder)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
            seconds.append(float(json.loads(done.stdout)["seconds"]))
        return Opening(protos, changes, seconds, built, image.stat().st_size, cold)


async def _build(manager: ProtoManager, protos: int, changes: int) -> None:
    """Commits of one Proto each, many in flight, so that they share their syncs."""
    await asyncio.to_thread(
        manager.install, {f"P{number}": Proto(f"P{number}", _CODEX).content("bench") for number in range(protos)}
    )

    async def change(number: int) -> None:
        async with manager.transaction(author="bench", reason="built") as transaction:
            transaction.edit(f"P{number % protos}").state["count"] = number

    for start in range(protos, changes, min(_IN_FLIGHT, protos)):
        await asyncio.gather(
            *(change(number) for number in range(start, min(start + min(_IN_FLIGHT, protos), changes)))
        )


def _forget(path: Path) -> bool:
    """Ask the system to drop the file's pages, so that the next opening reads the disk; whether it could be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return True


def _world(kind: str, objects: int) -> World:
    made: list[Any] = []
    for number in range(objects):
        made.append(KINDS[kind](number, made[-1] if made else None))
    size = max(1, objects // (_PROTOS * _SLOTS))
    pieces = [made[start : start + size] for start in range(0, objects, size)]
    return {
        f"P{start // _SLOTS}": {f"slot{place}": piece for place, piece in enumerate(pieces[start : start + _SLOTS])}
        for start in range(0, len(pieces), _SLOTS)
    }


def _portable(world: World) -> PortableImage:
    protos = {
        name: ProtoSnapshot(name, _CODEX, slots={slot: encode_slot(value, slot) for slot, value in slots.items()})
        for name, slots in world.items()
    }
    return PortableImage(_WHEN, protos)


def _values(image: PortableImage) -> World:
    return {
        name: {slot: decode_slot(data, slot, trusted=True) for slot, data in proto.slots.items()}
        for name, proto in image.protos.items()
    }


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _seconds(work: Callable[[Path], object], path: Path) -> float:
    gc.collect()
    began = time.perf_counter()
    kept = work(path)
    seconds = time.perf_counter() - began
    del kept
    return seconds


def _ratios(took: dict[str, list[float]]) -> dict[str, float]:
    """Ours over each other one: medians over the rounds that both took."""
    return {
        each: statistics.median(one / other for one, other in zip(took["ours"], figures, strict=False))
        for each, figures in took.items()
    }


def main() -> None:
    """Open and read once."""
    folder = Path(sys.argv[1])
    began = time.perf_counter()
    manager = open_image(folder)
    found = manager.get_proto("P7").state["count"]
    seconds = time.perf_counter() - began
    manager.close()
    print(json.dumps({"seconds": seconds, "found": found}))


if __name__ == "__main__":
    main()
