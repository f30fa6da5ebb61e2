from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from a4ps.ui.model.arrangement import fitted
from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.history import MOST_MORPHS, MOST_STEPS, History, Step
from a4ps.ui.model.morph import Morph, World


def at(x: float) -> World:
    return World().add(Morph("it", "note", Rect(x, 0, 100, 50), {"text": "a"}))


def moved(world: World, x: float) -> World:
    return world.put(replace(world["it"], rect=Rect(x, 0, 100, 50)))


def step(before: World, after: World, at_s: float = 0.0, **more: object) -> Step:
    return Step("move it", before, after, at_s, **more)  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(["do", "undo", "redo"]), max_size=60))
def test_any_sequence_of_doing_undoing_and_redoing_gives_the_worlds_that_a_list_gives(done: list[str]) -> None:
    world, history = at(0), History()
    worlds, place = [world], 0
    for number, each in enumerate(done):
        if each == "do":
            after = moved(world, number + 1)
            history, world = history.with_step(step(world, after, number)), after
            worlds, place = [*worlds[: place + 1], world], place + 1
            continue
        back = history.undo(world) if each == "undo" else history.redo(world)
        assert (back is None) == (place == 0 if each == "undo" else place == len(worlds) - 1)
        if back is not None:
            history, world = back.history, back.world
            place += -1 if each == "undo" else 1
        assert world["it"].rect == worlds[place]["it"].rect
        assert (history.undo_label, history.redo_label) == (
            "move it" if place else "", "move it" if place < len(worlds) - 1 else "",
        )  # fmt: skip


def test_undo_keeps_what_no_step_did() -> None:
    before = at(0)
    after = moved(before, 50)
    history = History().with_step(step(before, after))
    now = after.put(replace(after["it"], state={"text": "typed since"}))
    now = now.add(Morph("debugger", "window", Rect(0, 0, 200, 100))).put(replace(now.root, rect=Rect(0, 0, 800, 600)))
    back = history.undo(now)
    assert back is not None
    assert back.world["it"].rect.x == 0
    assert back.world["it"].state == {"text": "typed since"}
    assert "debugger" in back.world
    assert back.world.root.rect.width == 800
    again = back.history.redo(back.world)
    assert again is not None
    assert again.world["it"].rect.x == 50
    assert again.world["it"].state == {"text": "typed since"}


def test_a_step_that_changed_a_state_changes_it_back() -> None:
    before = at(0)
    after = before.put(replace(before["it"], state={"text": "b"}))
    back = History().with_step(step(before, after)).undo(after)
    assert back is not None
    assert back.world["it"].state == {"text": "a"}


def test_what_was_closed_by_itself_stays_closed_and_what_a_step_closed_comes_back() -> None:
    before = at(0)
    history = History().with_step(step(before, moved(before, 9)))
    back = history.undo(World())
    assert back is not None
    assert "it" not in back.world
    gone = before.remove("it")
    back = History().with_step(step(before, gone)).undo(gone)
    assert back is not None
    assert back.world["it"] == before["it"]


def test_nudges_within_a_second_are_one_step_and_later_ones_are_another() -> None:
    worlds = [at(x) for x in range(5)]
    history = History()
    for number, time in enumerate((0.0, 0.9, 1.8, 2.9)):
        history = history.with_step(step(worlds[number], worlds[number + 1], time, merges="nudge it"))
    assert [(each.before, each.after) for each in history.done] == [(worlds[0], worlds[3]), (worlds[3], worlds[4])]
    history = history.with_step(step(worlds[4], worlds[0], 3.0, merges="nudge other"))
    assert len(history.done) == 3


def test_a_nudge_after_an_undo_is_a_step_of_its_own() -> None:
    history = History().with_step(step(at(0), at(1), 0.0, merges="n")).with_step(step(at(1), at(2), 5.0, merges="n"))
    back = history.undo(at(2))
    assert back is not None
    history = back.history.with_step(step(at(1), at(3), 5.1, merges="n"))
    assert len(history.done) == 2
    assert history.undone == ()


def test_a_step_that_changed_nothing_is_none() -> None:
    world = at(0)
    assert History().with_step(step(world, world)) == History()


def changed(number: int) -> Step:
    return Step("mood of ROBIN", World(), World(), 0.0, change=number)


def test_a_change_of_the_image_is_reverted_there_and_redoing_reverts_the_revert() -> None:
    world = at(0)
    history = History().with_step(changed(12))
    back = history.undo(world)
    assert back is not None
    assert (back.revert, back.world) == (12, world)
    assert back.history.undo(world) is None
    assert back.history.undo_label == ""
    history = back.history.reverted(13)
    assert (history.undo_label, history.redo_label) == ("", "mood of ROBIN")
    back = history.redo(world)
    assert back is not None
    assert back.revert == 13
    history = back.history.reverted(14)
    assert history.done[-1].change == 14


def test_where_a_change_cannot_be_reverted_the_step_is_where_it_was() -> None:
    history = History().with_step(changed(12))
    back = history.undo(at(0))
    assert back is not None
    assert back.history.failed() == history
    undone = back.history.reverted(13)
    again = undone.redo(at(0))
    assert again is not None
    assert again.history.failed() == undone


def test_a_step_done_while_a_change_is_reverted_takes_away_its_redoing() -> None:
    back = History().with_step(changed(12)).undo(at(0))
    assert back is not None
    history = back.history.with_step(step(at(0), at(1))).reverted(13)
    assert history.undone == ()
    assert [each.label for each in history.done] == ["move it"]


def test_what_nothing_waits_for_changes_nothing() -> None:
    assert History().reverted(5) == History().failed() == History()


def test_history_is_bounded_in_steps_and_in_morphs() -> None:
    history = History()
    for number in range(MOST_STEPS + 20):
        history = history.with_step(step(at(number), at(number + 1)))
    assert len(history.done) == MOST_STEPS
    assert history.done[0].before["it"].rect.x == 20
    many = World({f"m{number}": Morph(f"m{number}", "note", Rect(0, 0, 1, 1)) for number in range(1000)})
    large = History()
    for _ in range(3):
        large = large.with_step(Step("x", at(0), World(dict(many.morphs)), 0))
    assert len(large.done) == 3
    assert MOST_MORPHS < 1000 * MOST_STEPS * 2
    huge = World({str(number): many["m1"] for number in range(MOST_MORPHS + 10)})
    assert len(large.with_step(Step("x", at(0), huge, 0)).done) == 1


def test_what_is_undone_after_the_window_became_smaller_lies_within_it() -> None:
    before = at(1400)
    after = moved(before, 50)
    back = History().with_step(step(before, after)).undo(fitted(after, 800, 600))
    assert back is not None
    assert back.world.root.rect == Rect(0, 0, 800, 600)
    assert back.world["it"].rect.right == 800
    assert fitted(back.world, 1600, 1000)["it"].rect.x == 1400
