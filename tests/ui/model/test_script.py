import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import CallerError, Unsupported
from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.morph import ROOT, Morph, World
from a4ps.ui.model.script import DEEPEST, KINDS, LARGEST, MARK, MOST_BYTES, VERSION, Migration, read, written

texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
numbers = st.one_of(st.integers(-5000, 5000), st.floats(-5000, 5000)).map(float)
sizes = st.one_of(st.integers(1, 5000), st.floats(1, 5000)).map(float)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    for number in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(sorted(KINDS)))
        state = {**draw(st.dictionaries(texts, values, max_size=3)), KINDS[kind]: draw(texts)}
        rect = Rect(draw(numbers), draw(numbers), draw(sizes), draw(sizes))
        id = draw(st.text(min_size=1, max_size=10)) + str(number)
        parent = draw(st.sampled_from(sorted(world.morphs)))
        colour = draw(st.sampled_from(["", "#4A90E2"]))
        angle = draw(st.floats(0, 359))
        world = world.add(
            Morph(id, kind, rect, state, collapsed=draw(st.booleans()), colour=colour, angle=angle), parent
        )
    return world


@given(worlds())
def test_a_world_comes_back_from_its_script_as_it_was(world: World) -> None:
    text = written(world)
    found = read(text)
    assert found.world == world
    assert found.mended == ()
    assert written(found.world) == text


def script(*morphs: Any, **more: Any) -> str:
    return json.dumps({MARK: VERSION, "morphs": list(morphs), **more})


def note(id: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "kind": "note", "x": 1, "y": 2, "width": 100, "height": 50, "state": {"text": "x"}, **more}


def test_a_script_is_readable_and_the_same_each_time() -> None:
    world = World().add(Morph("a", "note", Rect(10, 20.5, 100, 50), {"text": "Grüße, שלום"}))
    text = written(world)
    assert text == written(World(dict(reversed(list(world.morphs.items())))))
    assert '  "a4ps-world": 1,\n' in text
    assert '"x": 10,' in text
    assert "Grüße, שלום" in text
    assert "angle" not in text


@pytest.mark.parametrize(
    "bad",
    [
        "", "null", "[]", "{}", "not json", '{"a4ps-world": 1', b"\xff\xfe", b"\x00" * 100,
        '{"a4ps-world": 0}', '{"a4ps-world": true}', '{"a4ps-world": "1"}', '{"a4ps-world": 1, "morphs": {}}',
        '{"a4ps-world": 1, "morphs": [3]}', '{"a4ps-world": 1, "morphs": [{"x": NaN}]}',
        '{"a4ps-world": 1, "width": Infinity}', '{"a4ps-world": 1, "width": 1e999}',
        '{"a4ps-world": 1, "state": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a4ps-world": 1, "state": {"a": ' + "[" * 80 + "]" * 80 + "}}",
        '{"a4ps-world": 1, "width": ' + "9" * 5000 + "}",
        '{"a4ps-world": 1, "morphs": [' + ",".join(["{}"] * 100_001) + "]}",
    ],
    ids=range(20),
)  # fmt: skip
def test_what_is_no_script_is_refused_with_what_to_do(bad: str | bytes) -> None:
    with pytest.raises(CallerError) as refused:
        read(bad)
    assert refused.value.next_step
    assert len(refused.value.message) < 400


def test_a_script_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(CallerError, match="larger than 20 MB"):
        read("{" + " " * MOST_BYTES + "}")


def test_a_script_of_a_newer_version_says_so() -> None:
    with pytest.raises(Unsupported, match="newer A4PS"):
        read(json.dumps({MARK: VERSION + 1}))
    with pytest.raises(Unsupported, match="newer A4PS") as refused:
        read(json.dumps({MARK: 10**4000}))
    assert len(refused.value.message) < 200


def test_a_number_that_json_allows_and_no_float_holds_is_bounded() -> None:
    world = read(script(note("a", x=10**400, y=-(10**400), width=10**400, height=0, angle=10**400))).world
    assert world["a"].rect == Rect(100_000, -100_000, LARGEST, 1)
    assert world["a"].angle == 0


def test_ids_that_are_there_twice_or_cannot_be_are_replaced_and_told() -> None:
    found = read(script(note("a"), note("a"), note(ROOT), note(""), {**note("x"), "id": 5}, note("b" * 1000)))
    assert len(found.world) == 6
    assert len(found.mended) == 5
    assert all(len(each) < 200 for each in found.mended)


def test_what_lies_in_nothing_or_in_itself_lies_in_the_world() -> None:
    entries = [note("c", **{"in": "b"}), note("a", **{"in": "b"}), note("b", **{"in": "a"}), note("d", **{"in": "d"}),
               note("e", **{"in": "nobody"}), note("f", **{"in": "e"}), note("g", **{"in": 7})]  # fmt: skip
    found = read(script(*entries))
    ids = [each.id for each in found.world.under()]
    assert sorted(ids) == sorted([ROOT, *"abcdefg"])
    assert found.world["f"].parent == "e"
    assert found.world["e"].parent == ROOT
    assert found.world["c"].parent == "b"


def test_a_morph_may_be_listed_before_what_it_lies_in() -> None:
    found = read(script(note("a", **{"in": "b"}), note("b")))
    assert found.world["b"].children == ("a",)
    assert found.mended == ()


def test_morphs_that_lie_too_deep_in_each_other_are_put_into_the_world() -> None:
    chain = [note("m0"), *(note(f"m{n}", **{"in": f"m{n - 1}"}) for n in range(1, 300))]
    world = read(script(*chain)).world
    assert len(list(world.under())) == 301
    assert max(len(list(world.ancestors(f"m{n}"))) for n in range(300)) <= DEEPEST
    assert read(written(world)).world == world


CLOCK = {
    "id": "clock",
    "kind": "clock",
    "x": 5,
    "y": 6,
    "state": {"hands": [1, 2]},
    "colour": "red",
    "future": {"a": None},
}


def test_a_kind_that_is_not_known_is_a_placeholder_and_is_written_back_unchanged() -> None:
    found = read(script(CLOCK))
    morph = found.world["clock"]
    assert (morph.kind, morph.state, morph.rect) == ("placeholder", CLOCK, Rect(5, 6, 200, 120))
    assert "its data is kept" in found.mended[0]
    assert json.loads(written(found.world))["morphs"] == [CLOCK]


def test_a_placeholder_that_was_moved_is_written_where_it_is_with_its_data() -> None:
    world = read(script(CLOCK, note("n"))).world.moved_into("clock", "n")
    (entry,) = [each for each in json.loads(written(world))["morphs"] if each["id"] == "clock"]
    assert entry == {**CLOCK, "x": 4, "y": 4, "in": "n"}
    assert read(written(world)).world["clock"].parent == "n"


def test_a_window_whose_pane_is_not_known_is_a_placeholder_until_it_is() -> None:
    window = {"id": "w", "kind": "window", "state": {"pane": "clock", "zone": "UTC"}}
    world = read(script(window), panes={"memory"}).world
    assert world["w"].kind == "placeholder"
    again = read(written(world), panes={"memory", "clock"}).world
    assert again["w"].kind == "window"
    assert again["w"].state == {"pane": "clock", "zone": "UTC"}


@pytest.mark.parametrize(
    "entry",
    [{}, {"kind": 5}, {"kind": "note", "state": {"text": 5}}, {"kind": "note", "state": []}, {"kind": "placeholder"}],
)
def test_an_entry_that_its_kind_cannot_use_is_a_placeholder(entry: dict[str, Any]) -> None:
    (morph,) = list(read(script(entry)).world.under())[1:]
    assert morph.kind == "placeholder"
    assert morph.state == entry


def test_values_that_mean_nothing_are_left_out() -> None:
    morph = read(script(note("a", colour="javascript:", angle="steep", collapsed=1, x="left"))).world["a"]
    assert (morph.colour, morph.angle, morph.collapsed, morph.rect.x) == ("", 0.0, False, 40.0)


def test_half_a_character_can_be_written_and_read_again() -> None:
    world = World().add(Morph("a", "note", Rect(0, 0, 10, 10), {"text": "\ud800"}))
    assert read(written(world).encode()).world["a"].state == {"text": "\ud800"}


def test_a_state_that_is_no_json_is_refused_by_name() -> None:
    world = World().add(Morph("a", "note", Rect(0, 0, 10, 10), {"text": {1, 2}}))
    with pytest.raises(CallerError, match="set"):
        written(world)


def test_ten_thousand_morphs_and_a_megabyte_of_text_are_read_and_written() -> None:
    text = script(
        *(note(f"m{n}", **({"in": f"m{n // 10}"} if n else {})) for n in range(10_000)),
        note("long", state={"text": "x" * 1_000_000}),
    )
    before = time.process_time()
    world = read(text).world
    assert len(world) == 10_001
    assert read(written(world)).world == world
    # Not a measure: what is quadratic takes minutes.
    assert time.process_time() - before < 20


def test_scripts_of_earlier_versions_are_migrated_in_order() -> None:
    def renamed(script: dict[str, Any]) -> dict[str, Any]:
        return {**script, "morphs": script["things"]}

    steps = (
        Migration(1, "2026-12-01", "things are called morphs", renamed),
        Migration(2, "2026-12-02", "worlds have a title", lambda script: {**script, "state": {"title": "none"}}),
    )
    old = json.dumps({MARK: 1, "things": [note("a")]})
    world = read(old, migrations=steps).world
    assert "a" in world
    assert world.root.state == {"title": "none"}


def test_the_first_script_ever_written_can_still_be_read() -> None:
    found = read((Path(__file__).parents[2] / "data/formats/world-1.json").read_bytes(), panes={"inspector"})
    assert found.mended == ("later is of a kind that this A4PS does not know: its data is kept",)
    assert [each.id for each in found.world.under()] == [ROOT, "robin", "inspector", "bread", "later"]
    assert found.world["bread"] == Morph(
        "bread", "note", Rect(20, 60, 160, 80), {"text": "buy bread"}, "inspector", (), True, "#7BC77E", 15.0
    )


keys = st.sampled_from(["id", "kind", "in", "x", "width", "state", "pane", "angle", "a"])
anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)


@given(anything)
def test_no_entry_breaks_the_reader_and_what_is_read_can_be_written(value: Any) -> None:
    found = read(script(*(each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict))))
    assert len(list(found.world.under())) == len(found.world) + 1
    again = read(written(found.world)).world
    assert list(again.morphs) == list(found.world.morphs) or set(again.morphs) == set(found.world.morphs)
