import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.ui.model.blocks import Act
from a4ps.ui.model.dropping import RunTool
from a4ps.ui.model.furniture import room_of
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.gestures import (
    Do,
    Focus,
    Gesture,
    Hand,
    HideHalo,
    Pointer,
    ShowHalo,
    ShowMenu,
    keyed,
    tab_order,
    touched,
)
from a4ps.ui.model.halo import HANDLES, HaloMorph, halo_of
from a4ps.ui.model.morph import ROOT, Morph, World


def a_world() -> World:
    return (
        World()
        .add(Morph("robin", "persona", Rect(100, 100, 112, 112), {"name": "ROBIN"}))
        .add(Morph("gpx", "tool", Rect(100, 500, 140, 40), {"name": "gpx"}))
        .add(Morph("low", "window", Rect(600, 200, 400, 300), {"pane": "memory"}))
        .add(Morph("top", "window", Rect(800, 300, 400, 300), {"pane": "transcript"}))
        .add(Morph("note", "note", Rect(300, 600, 160, 80), {"text": "buy bread"}))
    )


class Player:
    """Plays events as the desk does: keeps the world, the hand and whose the halo is."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hand = Hand()
        self.halo_of = ""
        self.focus = ""
        self.steps: list[tuple[str, World, World]] = []
        self.effects: list[object] = []

    @property
    def halo(self) -> HaloMorph | None:
        return halo_of(self.world, self.halo_of) if self.halo_of in self.world else None

    def took(self, gesture: Gesture) -> Gesture:
        self.hand, self.world = gesture.hand, gesture.world
        for each in gesture.effects:
            if isinstance(each, ShowHalo):
                self.halo_of = each.morph
            elif isinstance(each, HideHalo):
                self.halo_of = ""
            elif isinstance(each, Focus):
                self.focus = each.morph
            else:
                self.effects.append(each)
        if gesture.step is not None:
            self.steps.append((gesture.step, gesture.before, gesture.world))
        return gesture

    def touch(self, phase: str, x: float, y: float, **more: Any) -> Gesture:
        return self.took(touched(self.hand, self.world, self.halo, Pointer(phase, Point(x, y), **more)))  # type: ignore[arg-type]

    def click(self, x: float, y: float, **more: Any) -> None:
        self.touch("press", x, y, **more)
        self.touch("release", x, y, **more)

    def drag(self, start: Point, *to: tuple[float, float], **more: Any) -> None:
        self.touch("press", start.x, start.y, **more)
        for x, y in to:
            self.touch("move", x, y, **more)
        self.touch("release", *to[-1], **more)

    def key(self, chord: str) -> bool:
        gesture = keyed(self.hand, self.world, self.halo, self.focus, chord)
        if gesture is not None:
            self.took(gesture)
        return gesture is not None


@pytest.fixture
def player() -> Player:
    return Player(a_world())


def test_a_press_raises_what_it_hits_and_is_no_step(player: Player) -> None:
    player.click(650, 250)
    assert player.world.root.children[-1] == "low"
    assert (player.steps, player.focus) == ([], "low")


def test_a_window_is_dragged_by_its_title_and_that_is_one_step(player: Player) -> None:
    player.drag(Point(900, 310), (910, 320), (950, 350), (1000, 410))
    assert player.world["top"].rect == Rect(900, 400, 400, 300)
    (label, before, after) = player.steps[0]
    assert (len(player.steps), label) == (1, "move transcript")
    assert (before["top"].rect, after["top"].rect) == (Rect(800, 300, 400, 300), Rect(900, 400, 400, 300))


def test_a_windows_body_is_the_panes_affair(player: Player) -> None:
    player.drag(Point(900, 400), (1000, 500))
    assert player.world["top"].rect == Rect(800, 300, 400, 300)
    assert player.steps == []


def test_a_persona_is_dragged_by_its_body_which_is_round(player: Player) -> None:
    player.drag(Point(102, 102), (202, 202))
    assert player.world["robin"].rect.x == 100
    player.drag(Point(156, 156), (256, 166))
    assert player.world["robin"].rect == Rect(200, 110, 112, 112)


def test_what_trembles_does_not_move(player: Player) -> None:
    player.drag(Point(156, 156), (158, 157))
    assert player.world["robin"].rect.x == 100
    assert player.steps == []


def test_the_corner_sizes_and_no_window_becomes_too_small(player: Player) -> None:
    player.drag(Point(1195, 595), (1295, 645))
    assert player.world["top"].rect == Rect(800, 300, 500, 350)
    player.drag(Point(1295, 645), (0, 0))
    assert player.world["top"].rect == Rect(800, 300, 180, 90)
    assert [label for label, *_ in player.steps] == ["resize transcript", "resize transcript"]


def test_no_drag_takes_a_morph_out_of_reach(player: Player) -> None:
    player.drag(Point(900, 310), (-5000, -5000))
    rect = player.world["top"].rect
    assert rect.y == room_of(player.world).y
    assert rect.right == 40 + 2 * 26, "some of the title beside its buttons"
    player.drag(Point(20, 50), (5000, 5000))
    rect = player.world["top"].rect
    assert rect.y == room_of(player.world).bottom - 30, "not beneath the chat field, where nobody could take hold of it"
    assert rect.x == 1600 - 40


def test_title_buttons_act_when_let_go_on_them(player: Player) -> None:
    player.click(1190, 315)
    assert "top" not in player.world
    assert player.steps[-1][0] == "dismiss transcript"
    player.click(1000 - 40, 215)
    assert player.world["low"].collapsed
    player.touch("press", 990, 215)
    player.touch("release", 700, 700)
    assert "low" in player.world


@pytest.mark.parametrize("how", [{"button": "middle"}, {"ctrl": True}])
def test_middle_or_ctrl_shows_the_halo_then_that_of_what_lies_beneath_then_none(
    player: Player, how: dict[str, Any]
) -> None:
    player.click(900, 400, **how)
    assert player.halo_of == "top"
    player.click(900, 400, **how)
    assert player.halo_of == "low"
    player.click(900, 400, **how)
    assert player.halo_of == ""


def test_a_held_press_shows_the_halo_and_no_longer_drags(player: Player) -> None:
    player.touch("press", 156, 156)
    player.touch("hold", 156, 156)
    assert player.halo_of == "robin"
    player.touch("move", 300, 300)
    player.touch("release", 300, 300)
    assert player.world["robin"].rect.x == 100


def test_a_press_that_drags_is_not_held(player: Player) -> None:
    player.touch("press", 156, 156)
    player.touch("move", 200, 156)
    player.touch("hold", 200, 156)
    assert player.halo_of == ""


def test_the_halo_goes_at_a_press_elsewhere_and_stays_at_one_on_its_morph(player: Player) -> None:
    player.halo_of = "robin"
    player.click(156, 156)
    assert player.halo_of == "robin"
    player.click(20, 950)
    assert (player.halo_of, player.focus) == ("", "")
    player.halo_of = "robin"
    player.click(900, 500)
    assert player.halo_of == ""


def test_right_asks_for_a_menu(player: Player) -> None:
    player.click(156, 156, button="right")
    player.click(20, 950, button="right")
    assert player.effects == [ShowMenu(Point(156, 156), "robin"), ShowMenu(Point(20, 950))]


def handle(player: Player, name: str) -> Point:
    assert player.halo is not None
    return player.halo[name].at


def test_dismiss_acts_on_release_and_not_when_the_pointer_has_left_it(player: Player) -> None:
    player.halo_of = "robin"
    at = handle(player, "dismiss")
    player.touch("press", at.x, at.y)
    assert "robin" in player.world
    player.touch("release", at.x + 200, at.y)
    assert "robin" in player.world
    player.click(at.x, at.y)
    assert "robin" not in player.world
    assert (player.halo_of, player.steps[-1][0]) == ("", "dismiss ROBIN")
    assert "robin" in player.steps[-1][1]


@pytest.mark.parametrize("name", ["inspect", "context", "help", "recolour", "evidence"])
def test_handles_that_act_say_what_is_to_be_done(player: Player, name: str) -> None:
    player.halo_of = "robin"
    at = handle(player, name)
    player.click(at.x, at.y)
    (effect,) = player.effects
    verb = "talk" if name == "context" else name
    assert isinstance(effect, Do)
    assert (effect.morph, effect.act.verb) == ("robin", verb)


def test_the_menu_handle_asks_for_the_morphs_menu(player: Player) -> None:
    player.halo_of = "top"
    at = handle(player, "menu")
    player.click(at.x, at.y)
    assert player.effects == [ShowMenu(at, "top")]


def test_move_leaves_a_morph_in_what_it_lies_in_and_grab_embeds_it_where_it_is_dropped(player: Player) -> None:
    player.halo_of = "note"
    at = handle(player, "move")
    player.drag(at, (at.x + 600, at.y - 150))
    assert player.world["note"].parent == ROOT
    assert player.world["note"].rect.corner == Point(900, 450)
    at = handle(player, "grab")
    player.drag(at, (at.x + 5, at.y), (1000, 500))
    assert player.world["note"].parent == "top"
    assert player.steps[-1][0] == "put note into transcript"
    at = handle(player, "grab")
    player.drag(at, (200, 900))
    assert player.world["note"].parent == ROOT
    assert player.steps[-1][0] == "move note"


def test_a_window_cannot_be_put_into_what_lies_in_it(player: Player) -> None:
    player.world = player.world.moved_into("note", "top")
    player.halo_of = "top"
    at = handle(player, "grab")
    player.drag(at, (at.x + 10, at.y + 10), (at.x + 20, at.y + 20))
    assert player.world["top"].parent == ROOT
    assert player.world["note"].parent == "top"


def test_grow_sizes_and_keeps_a_persona_round(player: Player) -> None:
    player.halo_of = "robin"
    at = handle(player, "grow")
    player.drag(at, (at.x + 40, at.y + 10))
    assert player.world["robin"].rect == Rect(100, 100, 152, 152)


def test_rotate_goes_in_steps_of_15_degrees_and_with_ctrl_freely(player: Player) -> None:
    player.halo_of = "note"
    start, centre = handle(player, "rotate"), player.world.rect("note").centre
    bearing = math.degrees(math.atan2(start.y - centre.y, start.x - centre.x))
    far = start.distance(centre)
    to = centre.towards(bearing + 50, far)
    player.drag(start, (to.x, to.y))
    assert player.world["note"].angle == 45
    player.world = a_world()
    player.drag(start, (to.x, to.y), ctrl=True)
    assert player.world["note"].angle == pytest.approx(50)


def test_duplicate_drags_a_second_one_and_gives_it_the_halo(player: Player) -> None:
    player.world = player.world.moved_into("note", "top")
    player.halo_of = "top"
    at = handle(player, "duplicate")
    player.drag(at, (at.x - 5, at.y), (at.x - 300, at.y + 100))
    assert player.halo_of == "top-2"
    assert player.world["top-2"].rect.corner == Point(500, 400)
    assert player.world["top-2"].children == ("note-2",)
    assert player.world["note-2"].state == {"text": "buy bread"}
    assert [label for label, *_ in player.steps] == ["duplicate transcript"]
    assert "top-2" not in player.steps[0][1]


def test_a_persona_dropped_on_a_tool_asks_to_run_it_and_stays_where_it_was(player: Player) -> None:
    player.drag(Point(156, 156), (150, 300), (170, 520))
    assert player.effects == [RunTool("gpx", "ROBIN")]
    assert player.world["robin"].rect == Rect(100, 100, 112, 112)
    assert player.steps == []
    player.halo_of = "gpx"
    at = handle(player, "grab")
    player.drag(at, (156, 156))
    assert player.effects == [RunTool("gpx", "ROBIN")] * 2
    assert player.world["gpx"].rect == Rect(100, 500, 140, 40)


def test_escape_puts_back_what_is_dragged_and_keeps_what_has_happened_meanwhile(player: Player) -> None:
    player.touch("press", 156, 156)
    player.touch("move", 400, 400)
    player.world = player.world.add(Morph("new", "note", Rect(0, 0, 100, 50)))
    assert player.key("escape")
    assert player.world["robin"].rect.corner == Point(100, 100)
    assert "new" in player.world
    player.touch("release", 400, 400)
    assert player.steps == []


def test_a_morph_that_goes_while_it_is_held_leaves_the_hand_empty(player: Player) -> None:
    player.touch("press", 156, 156)
    player.world = player.world.remove("robin")
    player.touch("move", 400, 400)
    player.touch("release", 400, 400)
    assert player.hand.hold is None
    assert player.steps == []


def test_arrows_nudge_what_has_the_halo_by_one_and_with_shift_by_ten(player: Player) -> None:
    assert not player.key("left")
    player.halo_of = "robin"
    for chord in ("left", "shift-down", "right", "right"):
        assert player.key(chord)
    assert player.world["robin"].rect.corner == Point(101, 110)
    assert not player.key("ctrl-left")


def test_nudges_of_one_morph_merge(player: Player) -> None:
    halo = halo_of(player.world, "robin")
    gesture = keyed(Hand(), player.world, halo, "", "up")
    assert gesture is not None
    assert (gesture.merges, gesture.step) == ("nudge robin", "move ROBIN")


def test_tab_goes_over_all_morphs_in_reading_order_and_back(player: Player) -> None:
    player.world = player.world.moved_into("gpx", "top")
    assert tab_order(player.world) == ["robin", "low", "top", "gpx", "note"]
    seen = []
    for _ in range(6):
        assert player.key("tab")
        seen.append(player.focus)
    assert seen == ["robin", "low", "top", "gpx", "note", "robin"]
    player.key("shift-tab")
    assert player.focus == "note"


def test_keys_reach_the_halo_the_main_act_the_menu_and_dismissal(player: Player) -> None:
    assert not player.key("enter")
    player.key("tab")
    player.key("enter")
    assert player.effects == [Do("robin", Act("talk", {"morph": "robin", "persona": "ROBIN"}))]
    player.key("space")
    assert player.halo_of == "robin"
    player.key("menu")
    assert isinstance(player.effects[-1], ShowMenu)
    player.key("escape")
    assert player.halo_of == ""
    player.key("space")
    player.key("delete")
    assert "robin" not in player.world
    assert not player.key("f7")


events = st.tuples(
    st.sampled_from(["press", "move", "release", "hold"]),
    st.integers(-50, 1650),
    st.integers(-50, 1050),
    st.sampled_from(["left", "left", "left", "middle", "right"]),
    st.booleans(),
)
aimed = st.tuples(st.sampled_from([each.name for each in HANDLES]), st.integers(0, 1600), st.integers(0, 1000))
keys = st.sampled_from(["tab", "space", "left", "shift-up", "delete", "escape", "enter", "menu"])


@given(st.lists(st.one_of(events, aimed, keys), max_size=25))
def test_whatever_is_done_the_world_stays_a_tree_and_steps_begin_where_they_say(
    done: list[tuple[object, ...] | str],
) -> None:
    player = Player(a_world())
    for each in done:
        if isinstance(each, str):
            player.key(each)
        elif len(each) == 5:
            phase, x, y, button, ctrl = each
            player.touch(str(phase), x, y, button=button, ctrl=ctrl)  # type: ignore[arg-type]
        elif player.halo is not None:
            name, x, y = each
            player.drag(handle(player, str(name)), (x, y))  # type: ignore[arg-type]
        tree = list(player.world.under())
        assert {one.id for one in tree} == set(player.world.morphs)
        assert len(tree) == len(player.world.morphs)
        for one in tree:
            assert all(player.world[child].parent == one.id for child in one.children)
    for _, before, after in player.steps:
        assert before is not after
