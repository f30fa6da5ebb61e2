"""Forgetting for good (I12): a plan of every place that holds or derives from what is sought, and carrying it out.

What is sought is recorded in the image before anything is touched. Then each holder removes its part, and last the image,
record included. Cut off at any moment, the next opening finishes what was begun; doing a part again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from a4ps.errors import NoSuchTurn, StorageFailed, UsageError
from a4ps.holders import Holders, TextPlace
from a4ps.image.forgetting import ImageTexts
from a4ps.image.turns import TurnLog
from a4ps.sought import BAR, Sought, Thing

LEAST: Final = 3
"""Characters of a text that is looked for; two are enough in a script in which they are a word."""

LONG_ENOUGH: Final = 12
"""Characters of a question that is looked for wherever it might be quoted; a shorter one counts where it is all there is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sought, and the places in the order in which they are dealt with."""

    sought: Sought
    places: tuple[TextPlace, ...]

    @property
    def going(self) -> tuple[TextPlace, ...]:
        """Those that forgetting takes away."""
        return tuple(place for place in self.places if place.relation != "named")

    @property
    def named(self) -> tuple[TextPlace, ...]:
        """Those that are left to the person."""
        return tuple(place for place in self.places if place.relation == "named")


class Forgetter:
    """Over an open image and the other holders of its home. `under_way` names the turns without an answer yet that
    recalled one of some things.
    """

    def __init__(
        self, image: ImageTexts, holders: Holders, under_way: Callable[[Iterable[Thing]], Sequence[Thing]]
    ) -> None:
        self._image = image
        self._holders = holders
        self._under_way = under_way

    def by_name(self, name: str, *, spare_derived: bool = False) -> Sought:
        """What a person means by a turn's number or a memory's name. Raises NoSuchTurn, Forgotten."""
        thing = self._image.thing_of(name)
        if thing is None:
            if name.isdecimal():
                TurnLog(self._image.store).turn(name)
            raise NoSuchTurn(
                f"there is no turn and no memory {name if name.isprintable() else ascii(name)}",
                next_step="search by content: --text TEXT",
            )
        words = [words.strip() for words in self._image.words_by(thing)]
        return Sought(
            tuple(_long(words)),
            tuple(each for each in words if each),
            (thing,),
            spare_derived,
        )

    @staticmethod
    def by_text(text: str, *, spare_derived: bool = False) -> Sought:
        """Raises UsageError where the text is too short to be looked for."""
        text = text.strip()
        if len(text) < LEAST - (not text.isascii()):
            raise UsageError(f"a text of fewer than {LEAST} characters is everywhere", next_step="give more of it")
        if text.casefold() in BAR:
            raise UsageError(f"{text!r} is what stands for what was forgotten", next_step="give other words")
        return Sought((text,), (text,), (), spare_derived)

    def plan(self, sought: Sought) -> Plan:
        """Every place there is; changes nothing. Raises UsageError where it cannot be forgotten as things are."""
        sought, elsewhere = self._whole(sought)
        places: list[TextPlace] = [*self._image.find(sought)]
        for holder in self._holders:
            places.extend(holder.find(elsewhere))
        return Plan(sought, tuple(places))

    def forget(self, sought: Sought) -> None:
        """Carry a plan out: what is sought by then, which may be more. Nothing is left when this returns.

        Raises what the holders raise, and StorageFailed where something is there again: somebody wrote it meanwhile. The
        forgetting is then unfinished, and `finish` goes on with it.
        """
        self.finish()
        sought, elsewhere = self._whole(sought)
        self._image.begin(sought)
        self._carry_out(sought, elsewhere)
        left = self.plan(sought).going
        if left:
            raise StorageFailed(
                f"it was written again meanwhile: {left[0].where}", next_step="end what writes it, and forget it again"
            )

    def finish(self) -> Sequence[Sought]:
        """Go on with what was cut off; returns what that was."""
        if not self._image.unfinished:
            return ()
        begun = self._image.begun()
        for sought in begun:
            self._carry_out(sought, _elsewhere(sought, self._image.going_with(sought)))
        self._image.finish()
        return begun

    def _carry_out(self, sought: Sought, elsewhere: Sought) -> None:
        for holder in self._holders:
            holder.remove(elsewhere)
        self._image.remove(sought)

    def _whole(self, sought: Sought) -> tuple[Sought, Sought]:
        """With the turns under way that go as well, as their rows do not name what they recalled; and for the others."""
        going = self._image.going_with(sought)
        more = [] if sought.spare_derived else [turn for turn in self._under_way(going) if turn not in going]
        if more:
            sought = replace(sought, things=(*sought.things, *more))
            going = self._image.going_with(sought)
        return sought, _elsewhere(sought, going)


def _elsewhere(sought: Sought, going: Mapping[Thing, Sequence[str]]) -> Sought:
    """What the other holders look for: they do not know what derives from what, nor what was asked in which turn.

    The image is emptied last, so this is the same again after a kill.
    """
    asked = [question.strip() for questions in going.values() for question in questions if question.strip()]
    return replace(
        sought,
        texts=tuple(dict.fromkeys((*sought.texts, *_long(asked)))),
        whole=tuple(dict.fromkeys((*sought.whole, *asked))),
        things=tuple(dict.fromkeys((*sought.things, *going))),
    )


def _long(texts: Sequence[str]) -> list[str]:
    return [each for each in texts if len(each) >= LONG_ENOUGH]
