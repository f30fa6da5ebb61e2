"""Reading while others swap, beside dict.get; and cloning, beside copy.deepcopy."""

from __future__ import annotations

import copy
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from bench.image_commits import open_image, register
from bench.image_data import many_entries

_UNROLLED = 10
_BATCH = 50


@dataclass(frozen=True, slots=True)
class Reads:
    """A read of each kind in ns: medians of batches, and the 99.9th percentile of reads that were timed one by one."""

    current_ns: float
    get_ns: float
    ratio: float
    current_p999_ns: float
    get_p999_ns: float
    swaps: int


@dataclass(frozen=True, slots=True)
class Clones:
    """Milliseconds, medians of clones made in turns."""

    handle_ms: float
    handle_read_ms: float
    draft_ms: float
    deepcopy_ms: float
    handle_ratio: float
    handle_read_ratio: float
    draft_ratio: float


def measure_reads(seconds: float) -> Reads:
    """Batches of `handle.current` and of `dict.get`, in turns, while two threads swap a Proto each without pause.

    Then, for as long again, single reads of each in turns.
    """
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as folder, open_image(Path(folder)) as manager:
        register(manager, 2)
        stop = threading.Event()
        swapped = [0, 0]

        def swap(number: int) -> None:
            handle = manager.get_proto(f"P{number}")
            while not stop.is_set():
                draft = handle.clone()
                swapped[number] += 1
                draft.state["mood"] = swapped[number]
                manager.atomic_swap(draft, reason="bench")

        threads = [threading.Thread(target=swap, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            # Both look a name up in a mapping of the same content.
            plain = dict(manager.pin().versions)
            current, get = _current_batch(manager), _get_batch(plain)
            ours, control = [], []
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                ours.append(current())
                control.append(get())
            ratio = statistics.median(one / other for one, other in zip(ours, control, strict=True))
            singly, singly_control = _singles(manager, plain, seconds)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    return Reads(
        statistics.median(ours),
        statistics.median(control),
        ratio,
        _p999(singly),
        _p999(singly_control),
        sum(swapped),
    )


def _current_batch(manager: ProtoManager) -> Callable[[], float]:
    handle = manager.get_proto("P0")

    def batch() -> float:
        began = time.perf_counter_ns()
        for _ in range(_BATCH):
            # Unrolled, so that the loop does not count as reading.
            handle.current  # noqa: B018
            handle.current  # noqa: B018
            handle.current  # noqa: B018
            handle.current  # noqa: B018
            handle.current  # noqa: B018
            handle.current  # noqa: B018
            handle.current  # noqa: B018
            handle.current  # noqa: B018
            handle.current  # noqa: B018
            handle.current  # noqa: B018
        return (time.perf_counter_ns() - began) / (_BATCH * _UNROLLED)

    return batch


def _get_batch(plain: Mapping[str, object]) -> Callable[[], float]:
    def batch() -> float:
        name = "P0"
        began = time.perf_counter_ns()
        for _ in range(_BATCH):
            plain.get(name)
            plain.get(name)
            plain.get(name)
            plain.get(name)
            plain.get(name)
            plain.get(name)
            plain.get(name)
            plain.get(name)
            plain.get(name)
            plain.get(name)
        return (time.perf_counter_ns() - began) / (_BATCH * _UNROLLED)

    return batch


def _singles(manager: ProtoManager, plain: Mapping[str, object], seconds: float) -> tuple[list[int], list[int]]:
    handle, name, now = manager.get_proto("P0"), "P0", time.perf_counter_ns
    ours: list[int] = []
    control: list[int] = []
    until = now() + int(seconds * 1e9)
    began = now()
    while began < until:
        # The first of two reads comes after other work; each is first as often as the other.
        began = now()
        handle.current  # noqa: B018
        between = now()
        plain.get(name)
        ended = now()
        ours.append(between - began)
        control.append(ended - between)
        began = now()
        plain.get(name)
        between = now()
        handle.current  # noqa: B018
        ended = now()
        control.append(between - began)
        ours.append(ended - between)
    return ours, control


def _p999(figures: list[int]) -> float:
    return float(sorted(figures)[int(len(figures) * 0.999)])


def measure_clones(rounds: int) -> Clones:
    """Clones of one Proto with 1,000 entries and deep copies of the same entries, in turns."""
    entries = many_entries(1)
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as folder, open_image(Path(folder)) as manager:
        codex = {"role": "r", "model_name": "m", "system_prompt": "s"}
        manager.register_proto(Proto("P", codex, state=entries))
        handle = manager.get_proto("P")
        draft = handle.clone()
        dict(draft.state)  # every entry is read, so that none is left to be copied later
        plain: dict[str, Any] = dict(draft.state)
        took = [
            (
                _ms(handle.clone),
                _ms(lambda: dict(handle.clone().state)),
                _ms(draft.clone),
                _ms(lambda: copy.deepcopy(plain)),
            )
            for _ in range(rounds)
        ]
    one, read, live, deep = (statistics.median(column) for column in zip(*took, strict=True))
    ratios = [statistics.median(row[3] / row[column] for row in took) for column in range(3)]
    return Clones(one, read, live, deep, *ratios)


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000
