"""What the pointer and the keys do, through the window itself."""

from __future__ import annotations

from tests.ui.view.running import needs_window, run

pytestmark = needs_window

_OPEN = """
mock = MockDesk(); screen = Offscreen(mock); desk = mock.desk; stage = screen.stage
def tab_to(name):
    desk.act("inspector", Act("tab", {"value": name})); screen.frame(3)
def part(id, kind="press", act="", key=""):
    body = stage.body_of(id)
    found = next(each for each in body.parts() if each.part.kind == kind
                 and (not act or each.part.act.verb == act) and (not key or each.part.entry.key == key))
    return stage.body_rect(id).corner + found.rect.centre
"""


def go(program: str) -> None:
    from textwrap import dedent

    run(_OPEN + dedent(program))


def test_a_persona_is_dragged_in_one_step_that_is_undone() -> None:
    go(
        """
        before = desk.world.rect("babs"); at = before.centre
        screen.touch(at.x, at.y).move(at.x + 30, at.y - 20).move(at.x + 60, at.y - 50).up()
        after = desk.world.rect("babs")
        assert (after.x - before.x, after.y - before.y) == (60, -50)
        screen.press("ctrl-z")
        assert desk.world.rect("babs") == before
        screen.until(lambda: stage.is_settled)      # it eases back
        """
    )


def test_a_halo_opens_by_middle_click_ctrl_and_a_long_press_and_its_handles_act() -> None:
    go(
        """
        at = desk.world.rect("robin").centre
        screen.click(at.x, at.y, "middle")
        assert desk.halo is not None and desk.halo.morph == "robin"
        handle = desk.halo["inspect"].at
        colour = screen.pixel(handle.x - 9, handle.y + 5)
        assert max(abs(a - b) for a, b in zip(colour, (0xFF, 0xB7, 0x4D))) <= 6, colour
        screen.window.mouse_pos = (handle.x, screen.window.height - handle.y); screen.frame(3)
        assert stage.hovered_handle is not None and stage.hovered_handle.name == "inspect"
        handle = desk.halo["dismiss"].at
        screen.click(handle.x, handle.y)
        assert "robin" not in desk.world and desk.halo is None
        screen.press("ctrl-z")
        assert "robin" in desk.world
        touch = screen.touch(at.x, at.y)
        screen.until(lambda: desk.halo is not None)
        touch.up()
        assert desk.halo is not None and desk.halo.morph == "robin"
        """
    )


def test_a_press_in_a_window_does_the_acts_of_its_blocks() -> None:
    go(
        """
        at = part("approvals", act="approve"); screen.click(at.x, at.y)
        at = part("approvals", act="deny"); touch = screen.touch(at.x, at.y); touch.move(at.x + 200, at.y - 100).up()
        assert [each.verb for each in mock.panes["approvals"].acts] == ["approve"]
        at = part("@timeline", act="mark"); screen.click(at.x, at.y)
        verbs = [each.verb for each in mock.panes["timeline"].acts]
        assert verbs == ["mark"], verbs
        rect = stage.timeline_rect
        screen.touch(rect.x + 300, rect.y + 27).move(rect.x + 500, rect.y + 27).up()
        scrubbed = [each.about["value"] for each in mock.panes["timeline"].acts if each.verb == "scrub"]
        assert scrubbed and 0.28 < scrubbed[-1] < 0.34, scrubbed
        """
    )


def test_what_is_typed_is_entered_and_outlives_a_redraw() -> None:
    go(
        """
        tab_to("Slots")
        at = part("inspector", "entry", key="s1"); screen.click(at.x, at.y)
        field = stage.editing.over
        assert field is not None and field.focus and field.text == "'value 1'"
        screen.press("ctrl-a"); screen.type("'calm ")
        screen.type("✓ 好'")
        tab_to("Slots"); desk.act("inspector", Act("show", {"value": 1})); screen.frame(3)
        assert stage.editing.over is field and field.text == "'calm ✓ 好'"
        screen.press("enter")
        act = mock.panes["inspector"].acts[-1]
        assert (act.verb, act.about["value"], act.about["n"]) == ("set", "'calm ✓ 好'", 1), act
        assert stage.editing.over is None
        at = part("inspector", "entry", key="s2"); screen.click(at.x, at.y)
        screen.type("zzz"); at = part("approvals", act="code"); screen.click(at.x, at.y)
        assert stage.body_of("inspector").drafts["s2"].endswith("zzz")     # left, and kept
        at = part("inspector", "entry", key="s2"); screen.click(at.x, at.y)
        assert stage.editing.over.text.endswith("zzz")
        screen.press("escape")
        assert "s2" not in stage.body_of("inspector").drafts
        """
    )


def test_an_entrys_chords_act_on_the_line_of_the_cursor() -> None:
    go(
        """
        at = part("workspace", "entry", key="code"); screen.click(at.x, at.y)
        assert stage.editing.over is stage.editing.page
        stage.editing.page.cursor = (3, 0)
        screen.press("ctrl-p")
        assert mock.panes["workspace"].acts[-1] == Act("print", {"value": "robin.dissonance_with(brick)"})
        stage.editing.page.select_text(0, 5); screen.press("ctrl-d")
        assert mock.panes["workspace"].acts[-1] == Act("do", {"value": "robin"})
        """
    )


def test_the_chat_field_sends_and_recalls() -> None:
    go(
        """
        screen.press("ctrl-l"); screen.type("Rust or Go?"); screen.press("enter")
        assert mock.link.asked("ask")[0].text == "Rust or Go?"
        assert stage.editing.chat.text == "" and stage.editing.chat.focus
        screen.press("up")
        assert stage.editing.chat.text == "Rust or Go?"
        screen.press("escape")
        assert not stage.editing.chat.focus
        """
    )


def test_a_command_is_completed_by_tab_and_what_it_could_be_is_shown() -> None:
    go(
        """
        screen.press("ctrl-l"); screen.type("/ins"); screen.frame(2)
        assert stage._hints.bounds is not None
        screen.press("tab")
        assert stage.editing.chat.text == "/inspect " and stage.editing.chat.focus
        screen.type("RO"); screen.press("tab")
        assert stage.editing.chat.text == "/inspect ROBIN"
        screen.press("escape"); screen.frame(2)
        assert stage._hints.bounds is None
        """
    )


def test_a_menu_is_searched_by_typing_and_drawn_above_all() -> None:
    go(
        """
        screen.press("ctrl-l"); screen.type("hello"); screen.press("ctrl-p")
        assert desk.menu is not None
        screen.type("x")
        assert stage.editing.chat.text == "hello"      # the field that has the keys hears nothing of it
        screen.press("escape")
        at = desk.world.rect("babs"); screen.click(at.x - 120, at.bottom + 10, "right")
        assert desk.menu is not None
        for letter in "help":
            screen.press(letter)
        assert [each.label for each in desk.menu.shown][0] == "Help"
        screen.press("enter")
        assert any(each.state.get("pane") == "help" for each in desk.world.of_kind("window"))
        """
    )


def test_tab_goes_to_every_part_and_around_and_it_is_seen_where() -> None:
    go(
        """
        seen, fields = [], 0
        for _ in range(220):
            screen.press("tab")
            if stage.editing.chat.focus:
                break
            body = stage.body_of(desk.focus)
            seen.append((desk.focus, body.focused if body is not None else None))
        assert stage.editing.chat.focus, seen[-5:]
        wanted = {"alfred", "brick", "robin", "babs", "inspector", "transcript", "approvals", "workspace"}
        assert wanted <= {each for each, _ in seen}
        at = part("approvals", act="approve")
        assert len({each for each in seen if each[0] == "approvals"}) == 4      # itself, and three buttons
        screen.press("tab")
        assert not stage.editing.chat.focus and desk.focus == seen[0][0]
        def ring():
            rect = desk.world.rect("alfred")
            return screen.pixel(rect.x - 4, rect.centre.y)
        with desk.settling(): desk.give_focus("")
        screen.frame(3); without = ring()
        with desk.settling(): desk.give_focus("alfred")
        screen.frame(3)
        assert sum(ring()) > sum(without) + 60
        while desk.focus != "approvals" or stage.body_of("approvals").focused is None:
            screen.press("tab")
        screen.press("enter")
        assert mock.panes["approvals"].acts
        """
    )


def test_the_wheel_scrolls_what_it_is_over() -> None:
    go(
        """
        tab_to("Slots")
        rect = desk.world.rect("inspector")
        screen.touch(rect.centre.x, rect.centre.y, "scrollup").up()
        assert stage.body_of("inspector").scroll > 0
        screen.touch(rect.centre.x, rect.centre.y, "scrolldown").up()
        assert stage.body_of("inspector").scroll == 0
        """
    )


def test_notices_and_work_are_pressed_away_and_stopped() -> None:
    go(
        """
        desk.drop_file("/nowhere/at/all.txt", Point(10, 60)); screen.frame(3)
        assert len(stage.toasts) == 1
        at = stage.toasts[0].rect.centre; screen.click(at.x, at.y)
        assert not desk.notices and not stage.toasts
        from a4ps.protocol.requests.memory import ReadIn
        desk.calls.send(ReadIn(files=["/a"]), lambda *_: None, label="Reading a")
        mock.now_s += 5; desk.pump(); screen.frame(3)
        assert stage.toasts[0].work.label == "Reading a"
        at = stage.toasts[0].button.centre; screen.click(at.x, at.y)
        assert mock.link.cancelled == [stage.toasts[0].work.tag]
        """
    )


def test_a_note_is_written_by_a_double_click_and_left_by_a_press_elsewhere() -> None:
    go(
        """
        desk.act("", Act("note", {})); screen.frame(3)
        id = next(each.id for each in desk.world.of_kind("note"))
        desk.hands.focus(id); screen.frame(2)
        assert stage.editing.note == id and stage.editing.page.focus
        screen.type("remember the milk")
        screen.click(20, 60)
        assert desk.world[id].state["text"] == "remember the milk"
        assert stage.editing.over is None
        """
    )


def test_a_plot_whose_time_its_window_gives_is_shown_of_that_time() -> None:
    go(
        """
        from a4ps.ui.model.blocks import Plot
        from tests.ui.view.mock_desk import MockPane
        plot = Plot("load", "load", [(float(second), 0.5) for second in range(7_200)], seconds=3_600.0)
        mock.panes["workspace"] = MockPane("workspace", "Plots", lambda _: [plot])
        desk.act("workspace", Act("tab", {"value": "again"})); screen.until(lambda: stage.plots.are_ready)
        body = stage.body_of("workspace")
        assert [each.part.kind for each in body.parts()] == ["save"]
        assert body.shown(plot).seconds == 3_600.0
        """
    )


def test_a_plot_is_paused_and_saved() -> None:
    go(
        """
        import os, tempfile
        screen.until(lambda: stage.plots.are_ready)
        at = part("inspector", "pause"); screen.click(at.x, at.y)
        assert stage.body_of("inspector").showing("dissonance").until_s is not None
        at = part("inspector", "range"); screen.click(at.x, at.y)
        assert stage.body_of("inspector").showing("dissonance").seconds == 120.0
        at = part("inspector", "save"); screen.click(at.x, at.y)
        for ending, magic in (("png", b"\\x89PNG"), ("svg", b"<?xml")):
            path = os.path.join(tempfile.mkdtemp(), f"plot.{ending}")
            at = part("inspector", "save"); screen.click(at.x, at.y); screen.frame(2)
            stage.editing.chat.text = path; screen.press("enter")
            assert open(path, "rb").read(5).startswith(magic)
        at = part("inspector", "save"); screen.click(at.x, at.y)
        stage.editing.chat.text = "/nowhere/x.png"; screen.press("enter")
        assert desk.notices[-1].bad
        """
    )
