"""A turn's progress as steps of the protocol."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from a4ps.protocol import steps
from a4ps.society import progress
from a4ps.society.progress import Progress
from a4ps.tools.report import ForgeProgress, Specified, TestsReady, Tried, Writing


def as_step(told: Progress) -> dict[str, Any]:
    """The step that tells of it, as plain data. Built by hand where it is one of hundreds a second."""
    match told:
        case progress.Token(persona, text):
            return {"step": "token", "persona": persona, "text": text}
        case progress.Thought(persona, text):
            return {"step": "thought", "persona": persona, "text": text}
        case _:
            return _rare(told).model_dump()


def _rare(told: Progress) -> steps.AnyStep:
    match told:
        case progress.Accepted(turn, resumed):
            return steps.Accepted(turn=turn.id, question=turn.question, resumed=resumed)
        case progress.InLine(ahead):
            return steps.InLine(ahead=ahead)
        case progress.Recollected(memories):
            found = [steps.RecalledMemory(id=each.id, source=each.source, score=each.score) for each in memories]
            return steps.Recollected(memories=found)
        case progress.Began(persona, role, model, round_):
            return steps.Began(persona=persona, role=role, model=model, round=round_)
        case progress.WaitingForModel(persona, why):
            return steps.Waiting(persona=persona, why=why)
        case progress.LoadingModel(persona, model):
            return steps.Loading(persona=persona, model=model)
        case progress.Restarted(persona):
            return steps.Restarted(persona=persona)
        case progress.Spoke(said):
            return steps.Spoke(contribution={**asdict(said), "taint": list(said.taint)})
        case progress.Measured(dissonance, estimated, round_):
            return steps.Measured(dissonance=dissonance, estimated=estimated, round=round_)
        case progress.Changed(mind):
            return steps.Changed(mind=asdict(mind))
        case progress.Ended(why):
            return steps.Ended(why=why)
        case progress.Forging(step):
            return forging(step)
        case progress.Noted(text):
            return steps.Noted(text=text)
        case progress.Token(persona, text):
            return steps.Token(persona=persona, text=text)
        case progress.Thought(persona, text):
            return steps.Thought(persona=persona, text=text)


def forging(step: ForgeProgress) -> steps.Forging:
    """A step of the forge."""
    match step:
        case Specified(specification):
            line = f"BRICK specifies {specification.signature}: {specification.summary}"
            return steps.Forging(line=line, attempt=0, passed=None)
        case TestsReady(cases, held_out, by_alfred):
            line = f"{cases} cases, {by_alfred} of them ALFRED's, {held_out} not shown to the writer"
            return steps.Forging(line=line, attempt=0, passed=None)
        case Writing(attempt, of):
            line = f"attempt {attempt} of at most {of}: BRICK writes …"
            return steps.Forging(line=line, attempt=attempt, passed=None)
        case Tried(attempt, passed, why):
            how = "passed" if passed else f"failed: {' '.join(why.split())[:300]}"
            return steps.Forging(line=f"attempt {attempt}: {how}", attempt=attempt, passed=passed)
