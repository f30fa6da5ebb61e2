"""What the window costs: CPU a frame and at rest, from an event to its pixel, a plot's sample, from start to first frame.

Run as `python -m bench.ui [--json]`, with the extra [ui] and libEGL. It draws without a screen, in software (llvmpipe), in
1600 × 1000 px; CPU is that of all threads of the process, the renderer's among them. The world is made up, and the desk is
the real one, on a link that a script feeds; only the start is that of the program on a home of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from a4ps.ui.model.blocks import Plot
from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.morph import Morph, World
from a4ps.ui.model.palette import DARK
from bench.machine import machine
from bench.verdict import Verdict

ROOT = Path(__file__).resolve().parents[1]
SIZE = (1600, 1000)
NAMES = ("ALFRED", "BRICK", "ROBIN", "BABS")
FRAMES, EVENTS, SAMPLES, STILL_S, STARTS = 60, 100, 400, 5.0, 5

_FIRST_FRAME = """
import os, sys
from pathlib import Path
from a4ps.ui import app
def open_window(*given, opened=app.open_window, **more):
    window = opened(*given, **more)
    def flipped(*_):
        if window.children and window.children[0].views:
            sys.stdout.write("drawn"); sys.stdout.flush(); os._exit(0)
    window.bind(on_flip=flipped)
    return window
app.open_window = open_window
app.run(app.Options(home=sys.argv[1], size=(1600, 1000), screenshot=Path("/dev/null")))
"""


def world_of(number: int) -> World:
    """So many morphs within the screen: of ten, four are personas, four windows, one a tool and one a note."""
    world = World()
    world = world.put(replace(world.root, rect=Rect(0, 0, *SIZE)))
    panes = ("inspector", "transcript", "workspace", "tool_bench")
    columns = max(4, round((number * 1.6) ** 0.5))
    wide, high = SIZE[0] / columns, (SIZE[1] - 200) / (-(-number // columns))
    for at in range(number):
        x, y = at % columns * wide, 40 + at // columns * high
        kind = at % 10
        if kind < 4:
            name = NAMES[kind] if at < 10 else f"{NAMES[kind]} {at // 10}"
            morph = Morph(f"m{at}", "persona", Rect(x, y, 96, 96), {"name": name})
        elif kind < 8:
            morph = Morph(
                f"m{at}", "window", Rect(x, y, *((320, 240) if number <= 10 else (180, 130))), {"pane": panes[kind - 4]}
            )
        elif kind == 8:
            morph = Morph(f"m{at}", "tool", Rect(x, y, 140, 30), {"name": f"tool_{at}"})
        else:
            morph = Morph(f"m{at}", "note", Rect(x, y, 160, 90), {"text": f"The note of number {at}"})
        world = world.add(morph)
    return world


def opened(number: int) -> Any:
    """A window on so many morphs, everything drawn and every glow still."""
    from tests.ui.view.mock_desk import MockDesk
    from tests.ui.view.offscreen import Offscreen

    screen = Offscreen(MockDesk(*SIZE, world=world_of(number)), SIZE)
    known = screen.desk.society
    more = {
        f"{name} {ten}": replace(known.personas[name], name=f"{name} {ten}", load=0.0, saying="")
        for name in NAMES
        for ten in range(1, number // 10)
    }
    screen.mock.show(replace(known, personas={**known.personas, **more}))
    screen.frame(10)
    screen.mock.now_s += 10
    screen.stage.living.glow()
    screen.frame(10)
    return screen


def cpu_a_frame_ms(number: int, *, whole: bool = False) -> float:
    """CPU of one frame in which a word is said and a glow has changed; `whole`: and all of the window is drawn anew."""
    screen = opened(number)
    before = time.process_time()
    drawn = screen.drawn
    for at in range(FRAMES):
        screen.mock.persona("BRICK", saying=f"word {at}", load=0.5 + 0.4 * (at % 2))
        if whole:
            screen.stage.damage.add_all()
        screen.frame()
    frames: int = screen.drawn - drawn
    return 1000 * (time.process_time() - before) / max(1, frames)


def still(number: int) -> tuple[int, float]:
    """Frames drawn, and the share of one core, while nothing happens."""
    screen = opened(number)
    drawn, before, begun_s = screen.drawn, time.process_time(), time.perf_counter()
    while time.perf_counter() - begun_s < STILL_S:
        screen.frame()
    return screen.drawn - drawn, 100 * (time.process_time() - before) / (time.perf_counter() - begun_s)


def to_pixel_ms(number: int) -> float:
    """From the thread of the link to the changed pixel, the 95th of 100: the ring of a persona that dissents."""
    from a4ps.ui.model.geometry import Point

    screen = opened(number)
    rect = screen.desk.world.rect("m2")
    at = Point(rect.x + 2, rect.centre.y)
    waits = []
    colour = screen.pixel(at.x, at.y)
    for each in range(EVENTS):
        screen.frame(1 + each % 3)
        begun_s = time.perf_counter()
        event = {
            "type": "turn",
            "turn": "",
            "step": "figure",
            "name": "character.ROBIN",
            "at_s": 1000.0 + each,
            "value": each % 2 * 0.9,
        }
        screen.mock.link.show(event)
        screen.showing.wake()
        while (now := screen.pixel(at.x, at.y, drawn=False)) == colour and time.perf_counter() - begun_s < 1:
            screen.frame()
        waits.append(1000 * (time.perf_counter() - begun_s))
        colour = now
    return _p95(waits)


def sample_ms() -> float:
    """One more sample in a plot of ten minutes: wall time of what the window's thread does for it, the median."""
    screen = opened(10)
    screen.until(lambda: screen.stage.plots.are_ready)
    from a4ps.ui.view.laying import Showing
    from a4ps.ui.view.plots import PlotMorph

    picture = PlotMorph(DARK, 1.0, 360, 90)
    waits = []
    for at in range(SAMPLES):
        points = tuple((float(each), 0.5 + 0.4 * ((each * 37 % 101) / 101 - 0.5)) for each in range(at, at + 240))
        begun_s = time.perf_counter()
        picture.show(Plot("dissonance", "dissonance", points, "", 0, 1), Showing())
        waits.append(1000 * (time.perf_counter() - begun_s))
    return statistics.median(waits)


def first_frame_s() -> float:
    """From the start of the process to the first frame that has morphs, the best of several."""
    found = []
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "HOME": home, "PYTHONPATH": str(ROOT)}
        for _ in range(STARTS):
            begun_s = time.perf_counter()
            with subprocess.Popen(
                [sys.executable, "-c", _FIRST_FRAME, f"{home}/a4ps"], stdout=subprocess.PIPE, env=environment
            ) as child:
                assert child.stdout is not None
                drawn = child.stdout.read(5)
                found.append(time.perf_counter() - begun_s)
            assert drawn == b"drawn", drawn
        subprocess.run(
            [sys.executable, "-m", "a4ps", "--home", f"{home}/a4ps", "down"],
            env=environment,
            check=False,
            capture_output=True,
        )
    return min(found)


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * len(values))]


#: Each in a process of its own, as Kivy has one window for each.
MEASURES: dict[str, Callable[[], Any]] = {
    "ten": lambda: cpu_a_frame_ms(10),
    "hundred": lambda: cpu_a_frame_ms(100),
    "hundred whole": lambda: cpu_a_frame_ms(100, whole=True),
    "still": lambda: still(1_000),
    "pixel": lambda: to_pixel_ms(10),
    "sample": sample_ms,
}


def measured(name: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "bench.ui", "--one", name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def verdicts() -> list[Verdict]:
    """Measure."""
    frames, share = measured("still")
    whole = measured("hundred whole")
    return [
        Verdict("CPU a frame, 10 morphs, ms", measured("ten"), "<=", 10),
        Verdict(
            "CPU a frame, 100 morphs, ms", measured("hundred"), "<=", 30, f"with all of the window anew: {whole:.0f} ms"
        ),
        Verdict(f"1,000 morphs at rest: frames drawn in {STILL_S:g} s", float(frames), "<=", 0),
        Verdict("1,000 morphs at rest: CPU, % of one core", share, "<=", 3),
        Verdict("event to changed pixel, p95, ms", measured("pixel"), "<=", 50),
        Verdict("a plot's sample, median, ms", measured("sample"), "<=", 1),
        Verdict("start to the first frame, s", first_frame_s(), "<=", 2.5),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=MEASURES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(MEASURES[arguments.one]()))
        return 0
    found = verdicts()
    if arguments.json:
        print(
            json.dumps(
                {"machine": machine(), "verdicts": [{**asdict(each), "meets": each.meets} for each in found]}, indent=2
            )
        )
    else:
        for name, value in machine().items():
            print(f"{name:8} {value}")
        for each in found:
            print(each)
    return 0 if all(each.meets is not False for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
