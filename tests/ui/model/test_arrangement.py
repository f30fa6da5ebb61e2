from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.ui.model.arrangement import PERSONAS, first_world, fitted, new_world, rescaled, with_personas
from a4ps.ui.model.furniture import SCALES, font_scale, furniture, room_of
from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.morph import ROOT, Morph, World
from a4ps.ui.model.script import read, written

widths = st.integers(320, 3840)
heights = st.integers(240, 2160)
SIZES = [(320, 240), (640, 480), (800, 600), (1024, 768), (1280, 720), (1600, 1000), (1920, 1080), (3840, 2160)]


def within(rect: Rect, outer: Rect) -> bool:
    return (
        rect.x >= outer.x - 1
        and rect.y >= outer.y - 1
        and rect.right <= outer.right + 1
        and rect.bottom <= outer.bottom + 1
    )


def apart(one: Rect, other: Rect) -> bool:
    return one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y


def top(world: World) -> list[Morph]:
    return [world[each] for each in world.root.children]


@given(widths, heights)
def test_at_first_nothing_overlaps_and_all_lies_in_the_room_whatever_the_size(width: int, height: int) -> None:
    world = first_world(width, height)
    room = furniture(width, height).room
    assert {each.state["name"] for each in world.of_kind("persona")} == set(PERSONAS)
    for each in top(world):
        assert within(each.rect, room), each.id
    for one, other in combinations(top(world), 2):
        if one.kind == other.kind == "persona":
            assert one.rect.centre.distance(other.rect.centre) >= one.rect.width, (one.id, other.id)
        else:
            assert apart(one.rect, other.rect), (one.id, other.id)


def test_at_first_a_large_window_is_as_the_concept_shows_it() -> None:
    world = first_world(1600, 1000)
    panes = [each.state["pane"] for each in world.of_kind("window")]
    assert panes == ["inspector", "workspace", "transcript", "approvals", "tool_bench"]
    alfred, brick, robin, babs = (world[each].rect.centre for each in ("alfred", "brick", "robin", "babs"))
    assert alfred.y < robin.y < brick.y < babs.y
    assert brick.x < alfred.x < robin.x < min(each.rect.x for each in world.of_kind("window"))
    assert 100 <= world["robin"].rect.width <= 120


@pytest.mark.parametrize("size", SIZES)
def test_the_furniture_fills_the_window_with_the_room_and_leaves_most_to_it(size: tuple[int, int]) -> None:
    parts = furniture(*size)
    assert parts.strip.bottom == parts.room.y
    assert parts.room.bottom == parts.timeline.y
    assert parts.timeline.bottom == parts.chat.y
    assert parts.chat.bottom == pytest.approx(size[1])
    assert parts.room.height > size[1] / 2


@given(st.lists(st.tuples(widths, heights), min_size=1, max_size=5))
def test_whatever_sizes_a_window_went_through_all_can_be_reached_and_at_its_old_size_it_is_as_before(
    sizes: list[tuple[int, int]],
) -> None:
    world = before = first_world(1600, 1000)
    for width, height in sizes:
        world = fitted(world, width, height)
        room = furniture(width, height).room
        assert (world.root.rect.width, world.root.rect.height) == (width, height)
        for each in top(world):
            seen = each.rect if each.kind == "persona" else each.rect.sized(each.rect.width, 30)
            assert within(seen, room), each.id
    back = fitted(fitted(world, 4000, 3000), 1600, 1000)
    assert {each.id: each.rect for each in top(back)} == {each.id: each.rect for each in top(before)}


def test_the_way_back_outlives_a_restart() -> None:
    world = first_world(1600, 1000)
    small = read(written(fitted(world, 640, 480))).world
    assert small["inspector"].rect != world["inspector"].rect
    back = fitted(small, 1600, 1000)
    assert back["inspector"].rect == world["inspector"].rect
    assert back.root.state == {}


def test_what_the_user_moved_in_the_small_window_stays_where_they_put_it() -> None:
    small = fitted(first_world(1600, 1000), 640, 480)
    moved = small.put(replace(small["inspector"], rect=Rect(50, 60, 300, 200)))
    back = fitted(moved, 1600, 1000)
    assert back["inspector"].rect == Rect(50, 60, 300, 200)


def test_what_lies_half_outside_by_the_users_own_hand_is_left_there_at_the_size_that_they_did_it_in() -> None:
    world = first_world(1600, 1000)
    world = world.put(replace(world["inspector"], rect=Rect(1400, 100, 430, 400)))
    assert fitted(world, 1600, 1000) is world
    larger = fitted(world, 1800, 1100)
    assert larger["inspector"].rect == Rect(1400, 100, 430, 400)
    smaller = fitted(world, 1500, 1000)
    assert smaller["inspector"].rect.right <= 1500
    assert fitted(smaller, 1600, 1000)["inspector"].rect == Rect(1400, 100, 430, 400)


def test_what_lies_inside_is_not_touched_when_another_is_moved() -> None:
    world = first_world(1600, 1000).add(Morph("note", "note", Rect(20, 60, 100, 50), {"text": "x"}))
    assert fitted(world, 1200, 900)["note"] is world["note"]


@pytest.mark.parametrize(
    "places", [5, [], {"inspector": 5}, {"inspector": {"was": [1], "now": [0, 0, 0, 0], "in": [1, 2]}},
               {"inspector": {"was": [0, 0, -5, 1e300], "now": None, "in": "x"}}],
)  # fmt: skip
def test_places_that_a_file_made_up_are_passed_over(places: object) -> None:
    world = first_world(1600, 1000)
    world = world.put(replace(world.root, state={"places": places}))
    assert fitted(world, 800, 600)["inspector"].rect.right <= 800


@given(st.floats(0.5, 3), st.sampled_from([(320, 240), (640, 480), (1440, 900), (3840, 2160)]))
def test_larger_letters_leave_everything_within_reach(scale: float, size: tuple[int, int]) -> None:
    world = rescaled(first_world(*size), scale)
    room = furniture(*size, scale).room
    again = fitted(fitted(world, 2000, 1500), *size)
    for each in (world, again):
        for id in each.root.children:
            assert room.y - 1 < each[id].rect.y < room.bottom - 29, id  # places are whole pixels
            assert room.x <= each[id].rect.x
            assert each[id].rect.right < room.right + 1


def test_personas_that_are_missing_come_back_and_those_that_are_there_stay() -> None:
    world = first_world(1600, 1000)
    moved = world.put(replace(world["robin"], rect=Rect(5, 500, 80, 80))).remove("babs")
    again = with_personas(moved, ("ALFRED", "BRICK", "ROBIN", "BABS", "EVE"))
    assert again["robin"].rect == Rect(5, 500, 80, 80)
    assert again["babs"].rect == world["babs"].rect
    assert again["eve"].parent == ROOT
    assert with_personas(again, ("EVE",)) is again


@pytest.mark.parametrize(("height", "scale"), [(240, 1.0), (1080, 1.0), (1440, 1.3), (2160, 2.0), (4320, 2.0)])
def test_a_new_world_can_be_read_on_any_screen(height: float, scale: float) -> None:
    assert font_scale(new_world(height * 16 / 9, height)) == scale


def test_in_a_somewhat_smaller_window_the_windows_lie_beside_each_other_as_before_however_it_came_to_that_size() -> (
    None
):
    world = first_world(1600, 1000)
    small = fitted(world, 1440, 900)
    rects = [small.rect(each.id) for each in small.of_kind("window")]
    assert len(rects) == 5
    for at, one in enumerate(rects):
        assert all(
            one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y
            for other in rects[at + 1 :]
        )
    by_steps = fitted(fitted(world, 1520, 950), 1440, 900)
    assert {each.id: by_steps.rect(each.id) for each in by_steps.of_kind("window")} == {
        each.id: small.rect(each.id) for each in small.of_kind("window")
    }
    assert [each.rect for each in fitted(small, 1600, 1000).of_kind("window")] == [
        each.rect for each in world.of_kind("window")
    ]


@given(st.sampled_from(SCALES), st.integers(700, 2000), st.integers(600, 1200))
def test_with_larger_type_nothing_comes_to_lie_beneath_what_is_always_there(
    scale: float, width: int, height: int
) -> None:
    world = rescaled(first_world(width, height), scale)
    room = room_of(world)
    assert font_scale(world) == scale
    for each in world.root.children:
        rect = world.rect(each)
        assert rect.y >= room.y - 1
        assert rect.bottom <= room.bottom + 1 or rect.height > room.height


def test_in_a_smaller_window_the_words_beneath_a_persona_are_seen() -> None:
    for size in ((1440, 900), (1280, 800), (1100, 700)):
        world = fitted(first_world(1600, 1000), *size)
        assert all(world.rect(each.id).bottom + 40 <= room_of(world).bottom for each in world.of_kind("persona"))
