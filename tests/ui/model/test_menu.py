import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.ui.model.blocks import Act
from a4ps.ui.model.command_palette import COMMANDS, ranked, score
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.halo import halo_of
from a4ps.ui.model.menu import MOST_ROWS, Item, Menu, colour_menu, command_menu, halo_menu, world_menu
from a4ps.ui.model.morph import Morph, World

WORLD = Rect(0, 0, 1600, 1000)


def menu(*labels: str) -> Menu:
    return Menu(Point(100, 100), "Menu", tuple(Item(each, Act(each)) for each in labels))


def labels(menu: Menu) -> list[str]:
    return [each.label for each in menu.shown]


def test_arrows_go_around_and_return_does_the_choice() -> None:
    shown: Menu = menu("one", "two", "three")
    for chord, chosen in (("down", 1), ("tab", 2), ("down", 0), ("up", 2), ("home", 0), ("end", 2), ("shift-tab", 1)):
        after = shown.keyed(chord)
        assert isinstance(after, Menu)
        shown = after
        assert shown.chosen == chosen
    assert shown.keyed("enter") == Item("two", Act("two"))


def test_what_is_typed_filters_and_escape_empties_it_before_it_closes() -> None:
    after = menu("Transcript", "Tool bench", "Memory").keyed("t")
    assert isinstance(after, Menu)
    after = after.keyed("b")
    assert isinstance(after, Menu)
    assert labels(after) == ["Tool bench"]
    back = after.keyed("backspace")
    assert isinstance(back, Menu)
    assert labels(back) == ["Transcript", "Tool bench"]
    emptied = after.keyed("escape")
    assert isinstance(emptied, Menu)
    assert emptied.filter == ""
    assert emptied.keyed("escape") is None


def test_nothing_is_done_where_nothing_fits_or_it_cannot_be_done() -> None:
    none = menu("one").typed("zzz")
    assert none.keyed("enter") == none
    assert none.moved(1) == none
    off = Menu(Point(0, 0), "", (Item("one", Act("one"), enabled=False),))
    assert off.keyed("enter") == off
    assert menu("one").keyed("ctrl-x") == menu("one")


def test_a_long_menu_scrolls_to_what_is_chosen_and_only_what_is_seen_is_hit() -> None:
    long = menu(*map(str, range(100)))
    last = long.keyed("end")
    assert isinstance(last, Menu)
    assert last.chosen == 99
    assert [number for number, *_ in last.rows()] == list(range(100 - MOST_ROWS, 100))
    assert last.scrolled(-1000).first == 0
    assert long.scrolled(1000).first == 100 - MOST_ROWS
    number, item, rect = long.rows()[3]
    assert (number, item.label) == (3, "3")
    assert long.row_at(rect.centre) == 3
    assert long.row_at(Point(5, 5)) is None
    assert long.hovered(rect.centre).chosen == 3
    paged = long.keyed("pagedown")
    assert isinstance(paged, Menu)
    assert paged.chosen == MOST_ROWS


@given(st.integers(-500, 4000), st.integers(-500, 3000), st.sampled_from([(320, 240), (1600, 1000), (3840, 2160)]))
def test_a_menu_is_wholly_within_the_world(x: int, y: int, size: tuple[int, int]) -> None:
    world = Rect(0, 0, *size)
    for each in (
        world_menu(Point(x, y)).kept_inside(world),
        command_menu(world),
        world_menu(Point(x, y), 1.5).kept_inside(world),
    ):
        rect = each.rect
        assert rect.x >= 0
        assert rect.y >= 0
        assert rect.right <= world.width + 0.01
        assert rect.bottom <= world.height + 0.01


def test_the_world_menu_opens_every_kind_of_window_and_the_palette_has_all_of_it() -> None:
    of_world, of_all = world_menu(Point(0, 0)), command_menu(WORLD)
    opened = {each.act.about["pane"] for each in of_world.items if each.act.verb == "open"}
    assert opened >= {
        "inspector",
        "workspace",
        "transcript",
        "approvals",
        "tool_bench",
        "browser",
        "debugger",
        "memory",
    }
    assert {each.label for each in of_world.items} <= {each.label for each in of_all.items}
    assert not of_world.items[0].ruled
    assert any(each.ruled for each in of_world.items)


def test_labels_and_chords_of_commands_are_each_of_one_command() -> None:
    assert len({each.label for each in COMMANDS}) == len(COMMANDS)
    chords = [each.hint for each in COMMANDS if each.hint]
    assert len(set(chords)) == len(chords)


def test_a_protos_menu_has_its_versions_tests_and_evidence_and_a_windows_has_not() -> None:
    world = World().add(Morph("robin", "persona", Rect(100, 100, 112, 112), {"name": "ROBIN"}))
    halo = halo_of(world, "robin")
    shown = halo_menu(halo, Point(0, 0), proto="ROBIN")
    verbs = {each.act.verb: each.act for each in shown.items}
    assert verbs.keys() >= {"talk", "inspect", "evidence", "pin-version", "history", "show-tests", "export", "dismiss"}
    assert verbs["history"].about == {"morph": "robin", "proto": "ROBIN"}
    assert shown.choice is not None
    assert shown.choice.act.verb == "talk"
    plain = halo_menu(halo, Point(0, 0), lies_in="transcript")
    assert "pin-version" not in {each.act.verb for each in plain.items}
    assert "free" in {each.act.verb for each in plain.items}


def test_the_colours_menu_gives_the_morphs_own_colour_back() -> None:
    assert colour_menu("x", Point(0, 0)).items[0].act == Act("recoloured", {"morph": "x", "colour": ""})


def found(query: str) -> list[str]:
    return [each.label for each in ranked(query, COMMANDS, key=lambda each: each.label, also=lambda each: each.also)]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("tr", "Transcript"), ("tb", "Tool bench"), ("wks", "Workspace"), ("mem", "Memory"), ("UN", "Undo"),
        ("lt", "Larger type"), ("l o d", "Light or dark"), ("quit", "Leave"), ("forge", "Tool bench"),
        ("screenshot", "Save a picture of the world …"), ("stop", "Stop the turn"),
    ],
)  # fmt: skip
def test_starts_of_words_find_a_command_first(query: str, first: str) -> None:
    assert found(query)[0] == first


def test_letters_that_lie_together_are_worth_more_than_scattered_ones() -> None:
    together, near, far = score("ab", "xxab"), score("ab", "xaxb"), score("ab", "xaxxxb")
    assert together is not None
    assert near is not None
    assert far is not None
    assert together > near > far


def test_letters_that_are_not_in_it_in_this_order_find_nothing() -> None:
    assert score("ba", "ab") is None
    assert score("", "ab") == 0
    assert found("qqq") == []


@given(st.text(max_size=12), st.lists(st.text(max_size=30), max_size=12))
def test_ranking_keeps_just_what_has_the_letters_and_is_the_same_each_time(query: str, names: list[str]) -> None:
    def has(letters: str, text: str) -> bool:
        rest = iter(text.casefold())
        return all(each in rest for each in letters.casefold() if not each.isspace())

    once = ranked(query, names, key=str)
    assert sorted(once) == sorted(each for each in names if has(query, each))
    assert ranked(query, names, key=str) == once


def test_a_very_long_label_is_ranked_at_once() -> None:
    assert score("ab" * 50, "ab" * 500_000) is not None
