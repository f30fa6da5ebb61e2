"""Undo and redo. A step is of the layout (two worlds are swapped) or of the image (a change is reverted there). Pure.

What no step did is never undone: states of windows that have changed since, windows that opened by themselves, and the
world's size stay as they are now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from a4ps.ui.model.arrangement import fitted
from a4ps.ui.model.morph import ROOT, World

#: So many steps are kept, and no more than so many morphs in all their worlds together (they share what is the same).
MOST_STEPS = 500
MOST_MORPHS = 500_000
#: Steps of the same kind within so long are one.
MERGED_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """What was done, and the worlds before and after it. `change` is the number of a change in the image, or None.

    `merges`: steps with the same key that follow within a second are one; "" for none.
    """

    label: str
    before: World
    after: World
    at_s: float
    change: int | None = None
    merges: str = ""


@dataclass(frozen=True, slots=True)
class Back:
    """What undoing or redoing comes to: the history and the world then, and the change that is to be reverted, if any.

    Where there is one, the history waits until `reverted` or `failed` tells how that ended.
    """

    history: History
    world: World
    label: str
    revert: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A step whose change is being reverted in the backend. `overtaken`: another step was done meanwhile."""

    step: Step
    undoes: bool
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """Steps that can be undone, the last at the end, and those that can be redone, the next at the end.

    While a change is being reverted (`waits`), nothing is undone or redone.
    """

    done: tuple[Step, ...] = ()
    undone: tuple[Step, ...] = ()
    waits: Wait | None = None

    @property
    def undo_label(self) -> str:
        """What would be undone; "" where nothing can be now."""
        return self.done[-1].label if self.done and self.waits is None else ""

    @property
    def redo_label(self) -> str:
        """What would be done again; "" where nothing can be now."""
        return self.undone[-1].label if self.undone and self.waits is None else ""

    def with_step(self, step: Step) -> History:
        """After a step, which takes away what could be redone. One that changed nothing is none."""
        if step.before is step.after and step.change is None:
            return self
        waits = replace(self.waits, overtaken=True) if self.waits is not None else None
        last = self.done[-1] if self.done and not self.undone else None
        if last is not None and _merge(last, step):
            step = replace(last, after=step.after, at_s=step.at_s)
            return History((*self.done[:-1], step), (), waits)
        return History(_bounded((*self.done, step)), (), waits)

    def undo(self, world: World) -> Back | None:
        """What undoing the last step comes to; None where there is none, or a change is being reverted."""
        if not self.done or self.waits is not None:
            return None
        step, done = self.done[-1], self.done[:-1]
        if step.change is not None:
            return Back(History(done, self.undone, Wait(step, undoes=True)), world, step.label, step.change)
        return Back(History(done, (*self.undone, step)), with_kept(world, step.before, step.after), step.label)

    def redo(self, world: World) -> Back | None:
        """What doing the last undone step again comes to; None as with `undo`."""
        if not self.undone or self.waits is not None:
            return None
        step, undone = self.undone[-1], self.undone[:-1]
        if step.change is not None:
            return Back(History(self.done, undone, Wait(step, undoes=False)), world, step.label, step.change)
        return Back(History((*self.done, step), undone), with_kept(world, step.after, step.before), step.label)

    def reverted(self, by: int) -> History:
        """After the backend has reverted what was waited for: `by` is that change, which the other direction reverts."""
        if self.waits is None:
            return self
        step = replace(self.waits.step, change=by)
        return self._with(step, undone=self.waits.undoes, overtaken=self.waits.overtaken)

    def failed(self) -> History:
        """After the backend could not revert it: the step can still be undone, or redone, as before."""
        if self.waits is None:
            return self
        return self._with(self.waits.step, undone=not self.waits.undoes, overtaken=self.waits.overtaken)

    def _with(self, step: Step, *, undone: bool, overtaken: bool) -> History:
        if not undone:
            return History(_bounded((*self.done, step)), self.undone)
        # What has been overtaken by another step can no longer be redone.
        return History(self.done, self.undone if overtaken else (*self.undone, step))


def _merge(last: Step, step: Step) -> bool:
    return bool(step.merges) and step.merges == last.merges and 0 <= step.at_s - last.at_s <= MERGED_WITHIN_S


def _bounded(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The last steps, as many as may be kept; the last one at any rate."""
    kept = 0
    morphs = 0
    for step in reversed(steps):
        morphs += len(step.after)
        if kept and (kept == MOST_STEPS or morphs > MOST_MORPHS):
            break
        kept += 1
    return steps[-kept:]


def with_kept(now: World, target: World, other: World) -> World:
    """The world `target`, from which a step leads to `other` or back, with all that no step changed as it is `now`.

    That is: the world's size, states that are the same in both, morphs that are in neither, and the lack of those that are
    in both.
    """
    if now is other:
        return _sized_as(target, now)
    result = target
    for id in [id for id in target.morphs if id in other and id not in now]:
        if id in result:
            result = result.remove(id)
    morphs = dict(result.morphs)
    for id, morph in morphs.items():
        if id in other and id in now and morph.state is other[id].state:
            morphs[id] = replace(morph, state=now[id].state)
    result = World(morphs)
    for morph in now.under():
        if morph.id not in target and morph.id not in other:
            result = result.add(morph, morph.parent if morph.parent in result else ROOT)
    return _sized_as(result, now)


def _sized_as(world: World, now: World) -> World:
    return fitted(world, now.root.rect.width, now.root.rect.height)
