"""The world as a whole: which one is shown, how it looks, and the tour through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from a4ps.errors import A4PSError, CallerError, Conflict
from a4ps.ui.keeping import Keeping
from a4ps.ui.model import tour
from a4ps.ui.model.arrangement import first_world, fitted, new_world, rescaled
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.furniture import SCALE, SCALES, font_scale
from a4ps.ui.model.geometry import Point
from a4ps.ui.model.menu import Item, Menu
from a4ps.ui.model.morph import World
from a4ps.ui.model.palette import DARK, LIGHT, THEMES, Theme
from a4ps.ui.worlds import Worlds

if TYPE_CHECKING:
    from a4ps.ui.desk import Desk

#: The key of the world's state under which the theme is kept.
_THEME = "theme"


class Scene:
    """That of one desk. Without `worlds`, nothing is kept."""

    def __init__(self, desk: Desk, worlds: Worlds | None, now: Callable[[], float]) -> None:
        self._desk = desk
        self._keeping = None if worlds is None else Keeping(worlds, now)

    @property
    def theme(self) -> Theme:
        found = THEMES.get(str(self._desk.world.root.state.get(_THEME, "")))
        return DARK if found is None else found

    @property
    def font_scale(self) -> float:
        return font_scale(self._desk.world)

    def other_theme(self, name: str = "") -> None:
        """The theme of that name; light in place of dark, or dark in place of light, where none is named."""
        self._note(_THEME, name or (DARK if self.theme.name == LIGHT.name else LIGHT).name)

    def scale(self, by: int) -> None:
        """Type so many steps larger; as it was at first for 0."""
        nearest = min(range(len(SCALES)), key=lambda place: abs(SCALES[place] - self.font_scale))
        self.scale_to(SCALES[min(max(0, nearest + by), len(SCALES) - 1)] if by else 1.0)

    def scale_to(self, scale: float) -> None:
        """Type of that size."""
        self._desk.undoing.see(tour.placed(rescaled(self._desk.world, scale), scale))

    def resized(self, width: float, height: float) -> None:
        """The world has another size."""
        world = self._desk.world
        now = fitted(world, width, height)
        self._desk.undoing.see(now if now is world else tour.placed(now, self.font_scale))

    def tidied(self) -> World:
        """The world as it is at first, of this size."""
        root = self._desk.world.root
        fresh = first_world(root.rect.width, root.rect.height, self.font_scale)
        state = {key: value for key, value in root.state.items() if key in (_THEME, SCALE, tour.TAKEN)}
        return fresh.put(replace(fresh.root, state=state))

    # Worlds by name

    @property
    def name(self) -> str:
        """The name of the world that is shown, "" where it is not kept."""
        return "" if self._keeping is None else self._keeping.name

    def names(self) -> Sequence[str]:
        """All worlds that are kept."""
        return () if self._keeping is None else self._keeping.worlds.names()

    def open_last(self, width: float, height: float) -> None:
        """Show the world that was shown last; one as at first where that cannot be read."""
        if self._keeping is None:
            return
        try:
            self._load(self._keeping, self._keeping.name, width, height)
        except A4PSError as error:
            self._desk.undoing.anew(new_world(width, height))
            self._desk.failed(error)

    def show(self, name: str) -> None:
        """Keep this world, and show the one of that name, which begins anew where there is none. Raises CallerError."""
        desk, keeping = self._desk, self._kept()
        size = desk.world.root.rect
        with suppress(Conflict):  # what is there is newer
            keeping.save(desk.world)
        self._load(keeping, name, size.width, size.height)
        desk.notice(f"This is the world {self.name}.")

    def save_as(self, name: str) -> None:
        """Keep this world under another name from now on. Raises CallerError."""
        desk, keeping = self._desk, self._kept()
        size = desk.world.root.rect
        if name in keeping.worlds.names():
            raise CallerError(f"there is a world {name!r} already", next_step="choose another name")
        world = desk.world
        keeping.save(world)
        keeping.worlds.save(name, world)
        keeping.load(name, size.width, size.height)
        keeping.changed(world)
        desk.notice(f"This world is kept as {name}.")

    def menu(self, at: Point) -> Menu:
        """All worlds, to choose one from."""
        names = self._kept().worlds.names()
        shown = Item(f"{self.name} (shown)", Act("nothing"))
        items = [Item(each, Act("show-world", {"name": each})) for each in names if each != self.name]
        more = (Item("Another one …", Act("new-world")), Item("Save this world as …", Act("save-world")))
        return Menu(at, "Worlds", (shown, *items, *more), scale=self.font_scale)

    # What is due

    @property
    def due_s(self) -> float | None:
        return None if self._keeping is None else self._keeping.due_s

    @property
    def writing(self) -> bool:
        """Whether the world is being written."""
        return self._keeping is not None and self._keeping.writing

    def changed(self) -> None:
        """The world is another now."""
        if self._keeping is not None:
            self._keeping.changed(self._desk.world)

    def tick(self) -> None:
        """Save what is due."""
        if self._keeping is None or (error := self._keeping.tick(self._desk.world)) is None:
            return
        if isinstance(error, Conflict):
            self._read_again(self._keeping)
        else:
            self._desk.failed(error)

    def committed(self, kinds: frozenset[str]) -> None:
        """Rows of these kinds were committed: where something was forgotten, it is taken out of the scripts as well."""
        if "forgot" in kinds and self._keeping is not None and self._keeping.worlds.is_changed(self._keeping.name):
            self._read_again(self._keeping)

    def close(self) -> A4PSError | None:
        """Save at last; what kept it from being saved."""
        if self._keeping is None:
            return None
        try:
            with suppress(Conflict):  # what is there is newer
                self._keeping.save(self._desk.world)
        except A4PSError as error:
            return error
        finally:
            self._keeping.close()
        return None

    # The tour

    def begin_tour(self) -> None:
        """From its first stop."""
        self._desk.undoing.see(tour.begun(self._desk.world, self.font_scale))

    def begin_tour_once(self) -> None:
        """Where it was never taken in this world."""
        if tour.wanted(self._desk.world):
            self.begin_tour()

    def did(self, deed: str) -> None:
        """The user has done something that the tour may speak of."""
        self._desk.undoing.see(tour.did(self._desk.world, deed, self.font_scale))

    def toured(self, verb: str) -> bool:
        """Whether that was one of the tour's acts, which is done then."""
        world = self._desk.world
        match verb:
            case "tour":
                world = tour.begun(world, self.font_scale)
            case "tour-next":
                world = tour.went_on(world, self.font_scale)
            case "tour-back":
                world = tour.went_back(world, self.font_scale)
            case "tour-skip":
                world = tour.ended(world)
            case _:
                return False
        self._desk.undoing.see(world)
        return True

    def _kept(self) -> Keeping:
        if self._keeping is None:
            raise CallerError("this world is not kept", next_step="a4ps ui opens one that is")
        return self._keeping

    def _read_again(self, keeping: Keeping) -> None:
        """Somebody else has written the world that is shown. Nothing from before can be undone: it may be forgotten."""
        size = self._desk.world.root.rect
        name = keeping.name if keeping.name in keeping.worlds.names() else keeping.worlds.last()
        try:
            self._load(keeping, name, size.width, size.height)
        except A4PSError as error:
            self._desk.failed(error)
            return
        self._desk.notice("The world was changed elsewhere, or words in it were forgotten: it is shown as it is now.")

    def _load(self, keeping: Keeping, name: str, width: float, height: float) -> None:
        found = keeping.load(name, width, height)
        self._desk.undoing.anew(found.world)
        for each in found.notices:
            self._desk.notice(each.text, each.next_step, bad=each.bad)

    def _note(self, key: str, value: object) -> None:
        world = self._desk.world
        self._desk.undoing.see(world.put(replace(world.root, state={**world.root.state, key: value})))
