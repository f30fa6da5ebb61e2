import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import CallerError
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.furniture import room_of
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.hit import part_at, stack_at, topmost_at, turned
from a4ps.ui.model.layout import KEPT, changed_by, duplicated, holder_at, lowered, placed, put_into, sized, turned_to
from a4ps.ui.model.morph import ROOT, Morph, World


def a_world() -> World:
    return (
        World()
        .add(Morph("w", "window", Rect(100, 100, 400, 300), {"pane": "memory"}))
        .add(Morph("n", "note", Rect(50, 60, 100, 50), {"text": "x"}), "w")
        .add(Morph("p", "persona", Rect(600, 100, 112, 112), {"name": "ROBIN"}))
    )


# What lies at a point


def test_what_lies_in_a_morph_is_above_it_and_may_reach_out_of_it() -> None:
    world = a_world()
    assert stack_at(world, Point(160, 170)) == ("n", "w")
    out = placed(world, "n", Point(350, 60))
    assert stack_at(out, Point(540, 180)) == ("n",)
    assert stack_at(world, Point(20, 20)) == ()


def test_a_persona_is_round() -> None:
    assert stack_at(a_world(), Point(603, 103)) == ()
    assert stack_at(a_world(), Point(656, 102)) == ("p",)


def test_a_collapsed_window_is_its_title_and_hides_what_lies_in_it() -> None:
    collapsed = changed_by(a_world(), Act("collapse", {"morph": "w"}))
    assert collapsed is not None
    assert stack_at(collapsed[0], Point(160, 170)) == ()
    assert stack_at(collapsed[0], Point(160, 110)) == ("w",)


def test_what_is_turned_is_hit_where_it_is_seen() -> None:
    world = turned_to(placed(put_into(a_world(), "n", ROOT), "n", Point(1000, 500)), "n", 90)
    assert stack_at(world, Point(1002, 525)) == ()
    assert stack_at(world, Point(1050, 570)) == ("n",)


def test_what_lies_in_something_turned_is_turned_with_it() -> None:
    world = turned_to(a_world(), "w", 180)
    centre = world.rect("w").centre
    at = turned(world.rect("n").centre, centre, 180)
    assert stack_at(world, at) == ("n", "w")
    assert stack_at(world, world.rect("n").centre) == ("w",)
    corner = turned(Point(495, 395), centre, 180)
    assert part_at(world, "w", corner) == "corner"


@pytest.mark.parametrize(
    ("x", "y", "part"),
    [(110, 110, "title"), (490, 110, "close"), (455, 110, "collapse"), (490, 390, "corner"), (300, 300, "body")],
)
def test_a_windows_parts(x: float, y: float, part: str) -> None:
    assert part_at(a_world(), "w", Point(x, y)) == part


def test_the_topmost_without_one_leaves_out_what_lies_in_it_too() -> None:
    assert topmost_at(a_world(), Point(160, 170), without="n") == "w"
    assert topmost_at(a_world(), Point(160, 170), without="w") is None


# Changes


@given(st.floats(-10_000, 10_000), st.floats(-10_000, 10_000), st.floats(-100, 5000), st.floats(-100, 5000))
def test_wherever_it_is_put_and_however_large_some_of_a_morph_stays_in_reach(
    x: float, y: float, width: float, height: float
) -> None:
    world = placed(sized(a_world(), "w", width, height), "w", Point(x, y))
    rect = world.rect("w")
    assert rect.width >= 180
    assert rect.height >= 90
    room = room_of(world)
    assert room.y <= rect.y <= room.bottom - 30
    held = Point(max(rect.x, 0) + 1, rect.y + 1)
    assert part_at(world, "w", held) == "title", "its buttons are not all that can be taken hold of"
    assert rect.x <= 1600 - KEPT


def test_what_changes_nothing_is_the_same_world() -> None:
    world = a_world()
    assert placed(world, "w", Point(100, 100)) is world
    assert sized(world, "w", 400, 300) is world
    assert turned_to(world, "w", 360) is world
    assert lowered(world, "w") is world


def test_a_second_one_has_all_that_lies_in_the_first() -> None:
    world, id = duplicated(a_world(), "w", Point(10, 20))
    assert id == "w-2"
    assert world["w-2"].rect.corner == Point(110, 120)
    assert world["w-2"].children == ("n-2",)
    assert world["n-2"].rect == world["n"].rect
    assert world["w"].children == ("n",)


def test_only_windows_and_notes_that_are_open_hold_others_and_never_themselves() -> None:
    world = a_world().add(Morph("t", "tool", Rect(120, 300, 140, 40), {"name": "gpx"}))
    assert holder_at(world, Point(160, 310), "p") == "w"
    assert holder_at(world, Point(656, 150), "t") == ROOT
    collapsed = changed_by(world, Act("collapse", {"morph": "w"}))
    assert collapsed is not None
    assert holder_at(collapsed[0], Point(160, 110), "p") == ROOT
    assert holder_at(world, Point(160, 170), "p") == "n"
    assert holder_at(world, Point(160, 170), "w") == ROOT


def test_nothing_is_embedded_without_end() -> None:
    world = World()
    for number in range(60):
        world = world.add(Morph(f"n{number}", "note", Rect(100, 100, 400, 300), {"text": ""}))
        holder = holder_at(world, Point(300, 200), f"n{number}")
        world = put_into(world, f"n{number}", holder)
    assert max(sum(1 for _ in world.ancestors(f"n{number}")) for number in range(60)) <= 41


def test_what_is_put_into_another_is_seen_where_it_was() -> None:
    world = put_into(a_world(), "n", ROOT)
    assert world["n"].rect.corner == Point(150, 160)
    assert put_into(world, "n", "w")["n"].rect.corner == Point(50, 60)


@pytest.mark.parametrize(
    ("act", "label"),
    [
        (Act("dismiss", {"morph": "p"}), "dismiss ROBIN"),
        (Act("collapse", {"morph": "w"}), "collapse memory"),
        (Act("duplicate", {"morph": "p"}), "duplicate ROBIN"),
        (Act("upright", {"morph": "p"}), "turn ROBIN upright"),
        (Act("raise", {"morph": "w"}), "bring memory to the front"),
        (Act("lower", {"morph": "p"}), "send ROBIN to the back"),
        (Act("free", {"morph": "n"}), "take note out"),
        (Act("recoloured", {"morph": "p", "colour": "#4A90E2"}), "recolour ROBIN"),
    ],
)
def test_acts_of_menus_that_are_about_the_layout_change_the_world_under_a_label(act: Act, label: str) -> None:
    changed = changed_by(turned_to(a_world(), "p", 30), act)
    assert changed is not None
    assert changed[1] == label
    assert changed[0] is not a_world()


def test_acts_that_are_not_about_the_layout_are_left_to_others() -> None:
    assert changed_by(a_world(), Act("talk", {"morph": "p"})) is None
    assert changed_by(a_world(), Act("dismiss")) is None
    assert changed_by(a_world(), Act("dismiss", {"morph": ROOT})) is None
    assert changed_by(a_world(), Act("recoloured", {"morph": "p", "colour": "javascript"})) is None
    with pytest.raises(CallerError):
        changed_by(a_world(), Act("dismiss", {"morph": "gone"}))
