"""The world with a person at it: a real window on a screen of its own, and the backend behind it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from a4ps.places import Places
from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.halo import halo_of
from a4ps.ui.model.morph import World
from a4ps.ui.model.script import read
from tests.doubles.household import Household
from tests.doubles.screen import Screen, missing, screen
from tests.doubles.standing import backend_of, kill, standing, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(missing()), reason=f"not installed here: {missing()}"),
]


#: Where nothing lies in a world as it is at first.
GROUND = (540, 650)


class Architect(Household):
    """A person at a screen. What the window shows is read from the script that it keeps."""

    @property
    def script(self) -> Path:
        return Places(self.home, self.folder).worlds / "home.json"

    @property
    def world(self) -> World:
        return read(self.script.read_bytes()).world

    def window_of(self, pane: str, subject: str) -> str:
        """The id of the window of that pane and subject, "" where there is none."""
        if not self.script.exists():
            return ""
        found = (each for each in self.world.of_kind("window") if each.state["pane"] == pane)
        return next((each.id for each in found if each.state.get("subject") == subject), "")

    def evaluated(self, source: str) -> str:
        """As the console of another process shows it."""
        return self.run("console", stdin=f"{source}\n").stdout.strip()

    @contextmanager
    def at_world(self, screen: Screen) -> Iterator[subprocess.Popen[bytes]]:
        """The window, open on the screen, and its world kept; closed with Ctrl-C at the latest with the block."""
        self.environ["DISPLAY"] = screen.display
        window = subprocess.Popen(self.command(["ui"]), env=self.env, stderr=subprocess.DEVNULL)
        try:
            screen.wait_window()
            wait_until(self.script.exists)
            alone = 1  # the command that asks
            wait_until(lambda: self.json("status")["backend"]["sessions"] > alone)
            screen.click(*GROUND)
            if "tour" in self.world:  # at the first start alone
                self.presses(screen, "tour", "dismiss")
                wait_until(lambda: "tour" not in self.world)
            yield window
        finally:
            if window.poll() is None:
                window.send_signal(signal.SIGINT)
            window.wait(30)

    def presses(self, screen: Screen, morph: str, handle: str) -> None:
        """Ask for the halo of a morph, and press one of its handles where the model has it."""
        screen.click(*GROUND)  # no other halo is left: a second click on a morph goes to what is beneath
        centre = self.world.rect(morph).centre
        screen.click(centre.x, centre.y, ctrl=True)
        at = halo_of(self.world, morph)[handle].at
        screen.click(at.x, at.y)


@pytest.fixture
def person(tmp_path: Path) -> Architect:
    return Architect(tmp_path)


def test_the_world_is_opened_touched_changed_and_found_again(person: Architect) -> None:
    with screen() as shown:
        with person.at_world(shown) as window:
            # Talk: the halo of a persona, its main act, and the chat field.
            person.presses(shown, "brick", "context")
            shown.type("hello")
            shown.key("Return")
            wait_until(lambda: person.json("status")["backend"]["turns"]["answered"] == 1)
            assert "hello" in person.json("ask", "--turn", "1")["question"]

            # Look into one, and make its window larger.
            person.presses(shown, "brick", "inspect")
            wait_until(lambda: person.window_of("inspector", "BRICK"))
            opened = person.window_of("inspector", "BRICK")
            before = person.world.rect(opened)
            shown.drag(before.right - 5, before.bottom - 5, 60, 40)
            wait_until(lambda: person.world.rect(opened).width == pytest.approx(before.width + 60, abs=2))

            # Edit a slot: what lives in the image is another now, and its history says so.
            changes = len(person.json("image", "history", "BRICK")["changes"])
            rect = person.world.rect(opened)
            shown.click(*new_slot(rect))
            shown.type("mood = 'calm'")
            shown.key("Return")
            wait_until(lambda: "calm" in person.evaluated("brick.mood"))
            assert len(person.json("image", "history", "BRICK")["changes"]) == changes + 1

            shown.drag(rect.x + rect.width / 2, rect.y + 12, -40, 30)
            wait_until(lambda: person.world.rect(opened).x == pytest.approx(rect.x - 40, abs=2))
            left = person.world
            window.send_signal(signal.SIGINT)
            assert window.wait(30) == 130
        assert backend_of(person)["turns"]["answered"] == 1, "the backend goes on"

        # The same places again: its title is where it was left.
        with person.at_world(shown):
            assert person.world.rect(opened) == left.rect(opened)
            rect = left.rect(opened)
            shown.drag(rect.x + rect.width / 2, rect.y + 12, 25, 10)
            wait_until(lambda: person.world.rect(opened).x == pytest.approx(rect.x + 25, abs=2))


def new_slot(rect: Rect) -> tuple[float, float]:
    """Where an inspector that has no slots yet has the field for a new one."""
    return rect.x + 0.66 * rect.width, rect.y + 136


def test_a_backend_that_is_killed_under_the_window_is_found_again_and_nothing_is_missed(person: Architect) -> None:
    with screen() as shown, standing(person) as (process, _), person.at_world(shown):
        person.presses(shown, "brick", "inspect")
        wait_until(lambda: person.window_of("inspector", "BRICK"))
        opened = person.window_of("inspector", "BRICK")
        kill(process.pid)
        with standing(person) as (other, _):
            assert other.pid != process.pid
            shown.click(*new_slot(person.world.rect(opened)))
            shown.type("mood = 'calm'")
            shown.key("Return")
            wait_until(lambda: "calm" in person.evaluated("brick.mood"))


def test_a_window_that_is_killed_takes_nothing_along(person: Architect) -> None:
    with screen() as shown, standing(person) as (process, _), person.at_world(shown) as window:
        asking = person.start("ask", "--json", "hello")
        subprocess.run(["pkill", "-KILL", "-P", str(window.pid)], check=True)
        assert window.wait(30) == 1
        out, _ = asking.communicate(timeout=60)
        assert json.loads(out)["question"] == "hello"
        assert process.poll() is None
        assert backend_of(person)["pid"] == process.pid
        json.loads(person.script.read_text())
