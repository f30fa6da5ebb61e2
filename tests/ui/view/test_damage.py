"""Where only what has changed is drawn, the window shows what it would show if everything were drawn."""

from __future__ import annotations

from tests.ui.view.running import needs_window, run

pytestmark = needs_window


def test_a_frame_drawn_in_part_is_the_frame_drawn_whole_whatever_was_done() -> None:
    run(
        """
        import random
        from kivy.graphics.opengl import GL_RGB, GL_UNSIGNED_BYTE, glReadPixels
        from a4ps.ui.model.pane import Notice
        mock = MockDesk(1200, 800); screen = Offscreen(mock, (1200, 800)); desk, stage = mock.desk, screen.stage
        def seen():
            data = bytearray(glReadPixels(0, 0, 1200, 800, GL_RGB, GL_UNSIGNED_BYTE))
            data[:3] = b"   "       # the number of the frame
            return data
        chance = random.Random(7)
        parts = 0
        def at():
            return chance.uniform(5, 1195), chance.uniform(5, 795)
        for number in range(150):
            what = chance.randrange(10)
            persona = chance.choice(["ALFRED", "BRICK", "ROBIN", "BABS"])
            if what == 0:
                mock.persona(persona, saying=chance.choice(["", "a", "some words " * 20]))
            elif what == 1:
                mock.persona(persona, load=chance.random(), activity="x" * chance.randrange(30))
                mock.persona(persona, dissonance=chance.choice([None, 0.2, 0.9]))
            elif what == 2:
                screen.click(*at(), chance.choice(["left", "middle", "right"]))
            elif what == 3:
                x, y = at(); screen.touch(x, y).move(x + 30, y + 20).move(*at()).up()
            elif what == 4:
                x, y = at(); screen.window.mouse_pos = (x, y)
            elif what == 5:
                screen.press(chance.choice(["tab", "escape", "ctrl-z", "ctrl-p", "ctrl-l", "down", "space", "enter"]))
            elif what == 6:
                screen.type(chance.choice(["hello", "✓"]))
            elif what == 7:
                desk.notes.add(Notice(f"word {number}")); desk.changed("notices")
                with desk.settling(): pass
            elif what == 8:
                screen.touch(*at(), chance.choice(["scrollup", "scrolldown"])).up()
            else:
                mock.now_s += chance.choice([0.05, 0.2, 7.0]); desk.pump(); stage.living.glow()
            screen.frame(chance.randrange(1, 4))
            screen.until(lambda: stage.is_settled)
            parts += stage.damage.share < 0.7
            left = seen()
            stage.damage.add_all(); screen.window.canvas.ask_update(); screen.window.dispatch("on_draw")
            whole = seen()
            if left != whole:
                where = [at // 3 for at in range(0, len(left), 3) if left[at:at+3] != whole[at:at+3]]
                xs, ys = [at % 1200 for at in where], [799 - at // 1200 for at in where]
                raise AssertionError((number, what, len(where), (min(xs), min(ys)), (max(xs), max(ys))))
        assert parts > 50, parts
        """
    )
