"""What is drawn, told by its pixels."""

from __future__ import annotations

from tests.ui.view.running import needs_window, run

pytestmark = needs_window


def test_the_ring_has_the_colour_of_the_dissonance_and_the_arc_its_length() -> None:
    run(
        """
        from a4ps.ui.model.palette import dissonance_colour, rgb
        mock = MockDesk(); screen = Offscreen(mock)
        rect = mock.desk.world.rect("robin"); middle = rect.centre
        def ring():
            return screen.pixel(rect.x + 2, middle.y)
        def arc(degrees):
            line = [middle.towards(degrees, rect.width / 2 - far) for far in (9, 9.5, 10, 10.5)]
            return max(min(screen.pixel(at.x, at.y)) for at in line)
        def near(one, other):
            return all(abs(a - b) <= 6 for a, b in zip(one, other))
        for value in (0.0, 0.2, 0.35, 0.6, 0.78, 1.0):
            mock.persona("ROBIN", dissonance=value, load=0.0); screen.frame(3)
            wanted = tuple(round(255 * each) for each in rgb(dissonance_colour(value)))
            assert near(ring(), wanted), (value, ring(), wanted)
            if value:
                end = -90 + 360 * value
                assert arc(end - 4) > 200, value
                assert value == 1.0 or arc(end + 12) < 120, value
        mock.persona("ROBIN", dissonance=None); screen.frame(3)
        assert near(ring(), tuple(round(255 * each) for each in rgb(mock.desk.theme.muted)))
        assert arc(-60) < 120
        """
    )


def test_the_glow_is_as_strong_as_the_load_and_still_when_that_is_steady() -> None:
    run(
        """
        mock = MockDesk(); screen = Offscreen(mock)
        rect = mock.desk.world.rect("babs")
        def glow():
            return sum(screen.pixel(rect.x - 9, rect.centre.y))
        def settle():
            screen.frame(3); mock.now_s += 10; screen.stage.living.glow(); screen.frame(3)
        settle(); dark = glow()
        seen = []
        for load in (0.3, 0.6, 1.0):
            mock.persona("BABS", load=load); settle(); seen.append(glow())
        assert dark < seen[0] < seen[1] < seen[2] and seen[2] > dark + 60, (dark, seen)
        mock.persona("BABS", load=0.0); settle()
        assert abs(glow() - dark) <= 3
        assert screen.stage.living.is_still
        """
    )


def test_a_pulse_is_drawn_at_most_fifteen_times_a_second() -> None:
    run(
        """
        mock = MockDesk(); screen = Offscreen(mock)
        mock.now_s += 10; screen.stage.living.glow(); screen.frame(3)
        mock.persona("BABS", load=0.9); screen.stage._sync()
        seen = set()
        for _ in range(400):
            mock.now_s += 0.005
            screen.stage.living.glow()
            seen.add(screen.stage.views["babs"]._look)
        assert 20 <= len(seen) <= 15 * 2 + 3, len(seen)
        """
    )


def test_nothing_is_drawn_while_nothing_changes() -> None:
    run(
        """
        mock = MockDesk(); screen = Offscreen(mock)
        mock.now_s += 10; screen.stage.living.glow(); screen.frame(10)
        before = screen.drawn
        screen.frame(60)
        assert screen.drawn == before
        mock.desk.key("ctrl-l"); screen.frame(5)      # a field with the keys does not blink either
        before = screen.drawn
        screen.frame(60)
        assert screen.drawn == before
        mock.persona("BRICK", saying="another word"); screen.frame(3)
        assert screen.drawn > before
        """
    )


def test_themes_and_sizes_of_type_change_at_once_and_on_any_size_of_window() -> None:
    run(
        """
        from a4ps.ui.model.palette import DARK, LIGHT, rgb
        for size in ((320, 240), (3840, 2160), (1600, 1000)):
            if size[0] == 320:
                mock = MockDesk(*size); screen = Offscreen(mock, size)
            else:
                screen.window.size = size
                screen.until(lambda: mock.desk.world.root.rect.width == size[0])
            for theme in (DARK, LIGHT):
                while mock.desk.theme is not theme:
                    mock.desk.act("", Act("theme"))
                screen.frame(5)
                ground = tuple(round(255 * each) for each in rgb(theme.ground))
                foot = screen.stage.furniture
                assert screen.pixel(3, size[1] - 3) == ground, (size, theme.name)
            for verb in ("larger", "larger", "larger", "normal"):
                mock.desk.act("", Act(verb)); screen.frame(3)
        """
    )


def test_hostile_and_huge_texts_are_drawn_without_being_kept_as_textures() -> None:
    run(
        """
        world = World().put(replace(World().root, rect=Rect(0, 0, 1600, 1000)))
        world = world.add(Morph("h", "window", Rect(20, 60, 500, 500), {"pane": "huge"}))
        world = world.add(Morph("e", "window", Rect(540, 60, 500, 500), {"pane": "everything"}))
        world = world.add(Morph("n", "note", Rect(1060, 60, 300, 200), {"text": "x" * 1_000_000 + "\\u0000\\ud800\\u202e"}))
        world = world.add(Morph("t", "tool", Rect(1060, 300, 300, 30), {"name": "工具" * 5000}))
        world = world.add(Morph("p", "placeholder", Rect(1060, 400, 300, 90), {"kind": "\\u0000"}, angle=33))
        mock = MockDesk(world=world); screen = Offscreen(mock)
        body = screen.stage.body_of("h")
        for far in (1e3, 1e4, 1e9, -1e9):
            body.scroll_by(far); screen.stage.redrawn("h"); screen.frame(2)
        from a4ps.ui.view.text import TEXTURES_MAX
        assert len(screen.stage.texts) <= TEXTURES_MAX
        """
    )


def test_ten_thousand_morphs_are_drawn_and_left() -> None:
    run(
        """
        from a4ps.ui.model.morph import ROOT
        def tool(n):
            return Morph(f"t{n}", "tool", Rect(n % 100 * 150.0, n // 100 * 40.0, 140, 30), {"name": f"tool_{n}"})
        morphs = {f"t{n}": tool(n) for n in range(10_000)}
        root = replace(World().root, rect=Rect(0, 0, 1600, 1000), children=tuple(morphs))
        mock = MockDesk(world=World({ROOT: root, **morphs})); screen = Offscreen(mock)
        assert 100 < len(screen.stage.views) < 1_000      # those that are seen
        mock.desk.key("tab"); screen.frame(3)
        """
    )


def test_a_large_world_comes_over_several_frames_so_that_none_of_them_is_long() -> None:
    run(
        """
        from a4ps.ui.model.morph import ROOT
        from a4ps.ui.view.stage import MAKING_S, Stage
        def note(n):
            return Morph(f"n{n}", "note", Rect(n * 3.0, 40 + n % 40 * 20.0, 160, 90), {"text": f"note {n}"})
        morphs = {f"n{n}": note(n) for n in range(300)}
        root = replace(World().root, rect=Rect(0, 0, 1600, 1000), children=tuple(morphs))
        mock = MockDesk(world=World({ROOT: root, **morphs}))
        made, quick = [], Stage._made
        def slow(self, morph):
            made.append((mock.now_s, morph.id)); mock.now_s += MAKING_S / 10
            return quick(self, morph)
        Stage._made = slow
        screen = Offscreen(mock)
        assert [id for _, id in made] == list(morphs), "each once, the lowest first"
        assert screen.drawn >= 20
        assert set(screen.stage.views) == set(morphs)
        """
    )


def test_a_persona_that_a_script_made_huge_costs_no_more_and_has_its_ring() -> None:
    run(
        """
        from a4ps.ui.model.palette import rgb
        from a4ps.ui.view import textures
        sizes = []
        made = textures._made
        textures._made = lambda pixels: sizes.append(pixels.shape) or made(pixels)
        world = World().add(Morph("p", "persona", Rect(-1000, 100, 3000, 3000), {"name": "ROBIN"}))
        mock = MockDesk(world=world); screen = Offscreen(mock)
        mock.persona("ROBIN", dissonance=None); screen.frame(3)
        assert max(max(each[:2]) for each in sizes) <= textures.FACE_MAX
        x, y = 500, 100 + 3000 / 26 / 2
        muted = tuple(round(255 * each) for each in rgb(mock.desk.theme.muted))
        assert screen.pixel(x, y) == muted, screen.pixel(x, y)
        """
    )
