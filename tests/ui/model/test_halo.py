from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import CallerError
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.halo import DIAMETER, HANDLES, SLOP, halo_of
from a4ps.ui.model.morph import Morph, World
from a4ps.ui.model.palette import contrast, readable_on


def world(*morphs: Morph, size: tuple[float, float] = (1600, 1000)) -> World:
    made = World()
    made = made.put(Morph("world", "world", Rect(0, 0, *size), parent=""))
    for each in morphs:
        made = made.add(each)
    return made


ROBIN = Morph("robin", "persona", Rect(700, 400, 112, 112), {"name": "ROBIN"})


def test_the_thirteen_places_are_those_of_the_concept() -> None:
    said = {each.name: each.degrees for each in HANDLES}
    assert said == {
        "dismiss": -135,
        "menu": -112,
        "grab": -90,
        "move": -68,
        "duplicate": -45,
        "inspect": -10,
        "context": 22,
        "grow": 45,
        "help": 90,
        "recolour": 112,
        "rotate": 135,
        "evidence": 165,
        "collapse": -170,
    }


def test_angles_run_clockwise_from_the_right() -> None:
    halo = halo_of(world(ROBIN), "robin")
    assert halo["grab"].at.y < halo.centre.y < halo["help"].at.y
    assert halo["grab"].at.x == pytest.approx(halo.centre.x)
    assert halo["inspect"].at.x > halo.centre.x > halo["evidence"].at.x
    grow = halo["grow"].at - halo.centre
    assert grow.x == pytest.approx(grow.y)
    assert grow.x > 0


@given(
    st.floats(-200, 4000), st.floats(-200, 2300), st.floats(20, 4000), st.floats(20, 2200),
    st.sampled_from(["persona", "window", "note"]), st.sampled_from([(320, 240), (800, 600), (1600, 1000), (3840, 2160)]),
)  # fmt: skip
def test_every_handle_is_whole_within_the_world_and_apart_from_the_others(
    x: float, y: float, width: float, height: float, kind: str, size: tuple[int, int]
) -> None:
    morph = Morph("it", kind, Rect(x, y, width, height))
    halo = halo_of(world(morph, size=size), "it")
    for each in halo.handles:
        assert DIAMETER / 2 - 0.01 <= each.at.x <= size[0] - DIAMETER / 2 + 0.01
        assert DIAMETER / 2 - 0.01 <= each.at.y <= size[1] - DIAMETER / 2 + 0.01
    for one, other in combinations(halo.handles, 2):
        assert one.at.distance(other.at) >= DIAMETER


def test_a_handle_takes_presses_within_its_circle_and_the_slop_and_no_further() -> None:
    halo = halo_of(world(ROBIN), "robin")
    at = halo["dismiss"].at
    reach = DIAMETER / 2 + SLOP
    assert halo.handle_at(at) is halo["dismiss"]
    assert halo.handle_at(at.towards(-135, reach - 0.1)) is halo["dismiss"]
    assert halo.handle_at(at.towards(-135, reach + 0.1)) is None
    assert halo.handle_at(halo.centre) is None


@pytest.mark.parametrize(
    ("morph", "name", "verb"),
    [
        (ROBIN, "talk", "talk"),
        (Morph("t", "tool", Rect(0, 0, 120, 40), {"name": "gpx"}), "run", "run"),
        (Morph("n", "note", Rect(0, 0, 120, 40), {"text": "x"}), "edit", "edit"),
        (Morph("w", "window", Rect(0, 0, 300, 200), {"pane": "transcript"}), "use", "use"),
        (Morph("p", "placeholder", Rect(0, 0, 300, 200), {"kind": "clock"}), "show", "inspect"),
    ],
)
def test_the_context_handle_is_the_morphs_main_act(morph: Morph, name: str, verb: str) -> None:
    placed = halo_of(world(morph), morph.id)["context"]
    assert (placed.name, placed.act.verb, placed.act.about["morph"]) == (name, verb, morph.id)


def test_talk_says_to_whom_and_evidence_about_what() -> None:
    halo = halo_of(world(ROBIN), "robin")
    assert halo["context"].act.about["persona"] == "ROBIN"
    assert halo["evidence"].act.about == {"morph": "robin"}
    assert halo.name == "ROBIN"
    assert halo_of(world(ROBIN), "robin", name="Inspector of ROBIN").name == "Inspector of ROBIN"


def test_signs_can_be_read_on_their_handles_and_are_told_apart_without_colour() -> None:
    assert len({each.sign for each in HANDLES}) == 13
    assert len({each.colour for each in HANDLES}) == 13
    for each in HANDLES:
        assert len(each.sign) == 1
        assert contrast(readable_on(each.colour), each.colour) >= 4.5


def test_a_collapsed_morph_is_offered_to_be_expanded_and_its_halo_is_around_what_is_seen() -> None:
    window = Morph("w", "window", Rect(500, 300, 400, 460), {"pane": "inspector"}, collapsed=True)
    halo = halo_of(world(window), "w")
    assert halo["collapse"].name == "expand"
    assert halo.centre == Point(700, 315)


def test_handles_grow_with_the_font() -> None:
    small, large = (halo_of(world(ROBIN), "robin", scale) for scale in (1.0, 1.5))
    assert (small.size, large.size) == (28, 42)
    assert large.radius > small.radius


def test_there_is_no_halo_of_what_is_not_there() -> None:
    with pytest.raises(CallerError):
        halo_of(world(), "nobody")
