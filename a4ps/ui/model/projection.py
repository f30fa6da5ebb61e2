"""How the society that is seen follows from what is heard: status, steps, durable events and the link's states. Pure.

What is provisional may be dropped or doubled: a later `spoke` has a persona's whole words, and the answered turn, which is
asked for once its reply is durable, has the truth about all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from a4ps.protocol.feed import Apply, Show, Void
from a4ps.protocol.messages import Durable
from a4ps.ui.model.arrangement import PERSONAS
from a4ps.ui.model.society import BY_PROFILE, Contribution, LinkState, Persona, Society, TurnSeen

#: Seconds of figures that are kept, and figures of one series.
SERIES_S, SERIES_POINTS = 600.0, 2_400

#: A figure of the memory that stays the same is noted so often.
_STEADY_S = 60.0

#: What stands where words were dropped on the way, until the whole text is there.
GAP = " … "

#: Step of a turn → what a persona is seen to do in it.
ACTIVITIES: Mapping[str, str] = {
    "plan": "plans",
    "thesis": "argues",
    "antithesis": "objects",
    "findings": "looks it up",
    "synthesis": "judges",
    "word": "weighs the argument",
}

#: The cognitive load of one who waits for a model, and of one who speaks with an empty context and with a full one.
_WAITING, _SPEAKING, _FULL = 0.35, 0.55, 1.0


def unknown_society() -> Society:
    """What is known before anything is heard: the names of the four."""
    return Society(personas={name: Persona(name, "") for name in PERSONAS})


def linked(society: Society, state: LinkState, detail: str = "") -> Society:
    """The link's state. Where it is lost, nobody is seen to speak; what was said and is not durable may still be."""
    society = _quiet(society) if state != "live" else society
    return replace(society, link=state, link_detail=detail)


def begun(society: Society, epoch: str, sequence: int) -> Society:
    """The first backend, and its newest commit: what follows is told from there."""
    return replace(society, epoch=epoch, sequence=sequence)


def happened(society: Society, told: Apply | Show | Void) -> Society:
    """The next of the backend's events."""
    match told:
        case Apply(event):
            return _applied(society, event)
        case Show(events, dropped):
            return shown(_with_gap(society) if dropped else society, events)
        case Void(epoch, sequence, behind):
            society = replace(_void(society), epoch=epoch)
            return replace(society, sequence=sequence) if behind else society


def shown(society: Society, events: Iterable[Mapping[str, Any]]) -> Society:
    """Provisional steps, each with its `turn`, and figures."""
    for (step, turn, persona), group in groupby(events, key=_alike):
        if step == "token":
            society = _said(society, turn, persona, "".join(str(each.get("text", "")) for each in group))
        else:
            for each in group:
                society = _stepped(society, turn, each)
    return society


def asked(society: Society, question: str) -> Society:
    """Our own question is on its way. Where a turn runs, that one goes on being seen until this one is accepted."""
    return society if society.turn.running else replace(society, turn=TurnSeen(question=question, running=True))


def in_line(society: Society, ahead: int) -> Society:
    """Our own question waits for so many others."""
    return replace(society, turn=replace(society.turn, ahead=ahead))


def ended_badly(society: Society, fault: str, question: str = "") -> Society:
    """The turn that runs, or only one of that question, has ended without an answer."""
    if not society.turn.running or (question and question != society.turn.question):
        return society
    society = _void(society)
    return replace(society, turn=replace(society.turn, running=False, fault=fault, ahead=0))


def answered(society: Society, turn: Mapping[str, Any]) -> Society:
    """The AskObject of an answered turn, in place of all that was heard of it. An older one changes nothing."""
    known = society.turn
    if known.id != turn["turn_id"]:
        ours = not known.id and known.question == turn["question"]  # answered before we heard that it was accepted
        if (known.running and not ours) or _number(known.id) > _number(turn["turn_id"]):
            return society
    contributions: list[Contribution] = []
    for each in turn["contributions"]:
        round_ = 1 + sum(one.persona == each["persona"] and one.step == each["role"] for one in contributions)
        contributions.append(Contribution(each["persona"], each["role"], each["text"], round_, each["model"]))
    seen = TurnSeen(
        id=turn["turn_id"],
        question=turn["question"],
        contributions=tuple(contributions),
        memories=tuple(turn["memories_used"]),
        notes=tuple(turn["notes"]),
        dissonance=_dissonance(turn),
        answer=turn["answer"],
    )
    society = _void(society)
    models = {each.persona: each.model for each in contributions}
    personas = {
        name: replace(each, model=models.get(name, each.model)) if name in models else each
        for name, each in society.personas.items()
    }
    return replace(society, turn=seen, personas=personas)


def status_seen(society: Society, status: Mapping[str, Any], now_s: float) -> Society:
    """A StatusObject of this moment: its series are those that the backend has in memory, merged with what was heard."""
    series = dict(society.series)
    for name, each in status["series"].items():
        points = tuple((float(at_s), float(value)) for at_s, value in each["points"])
        series[name] = _merged(series.get(name, ()), points)
    engine = status["engine"]
    if engine["budget_bytes"] is not None or engine["residents"]:
        vram = float(sum(each["vram_bytes"] for each in engine["residents"]))
        before = series.get("vram_bytes", ())
        if not before or before[-1][1] != vram or now_s - before[-1][0] >= _STEADY_S:
            series["vram_bytes"] = _merged(before, ((now_s, vram),))
    known = society.status
    if known is not None and series == society.series and {**known, "uptime_s": status["uptime_s"]} == status:
        return society  # time went by, and nothing happened: nothing is drawn for that
    society = replace(society, status=status, series=series)
    return _with_colours(society, {name: points[-1][1] for name, points in series.items() if points})


def series_seen(society: Society, series: Mapping[str, Sequence[Mapping[str, Any]]]) -> Society:
    """The image's series, which are older than what was heard: the colour of each persona of which nothing was yet."""
    unknown = {f"character.{name}" for name, persona in society.personas.items() if persona.dissonance is None}
    newest = {name: float(points[-1]["mean"]) for name, points in series.items() if points and name in unknown}
    return _with_colours(society, newest)


def proto_seen(society: Society, name: str, *, role: str, model: str, mood: str) -> Society:
    """A persona as the image has it. Where its model is the profile's, it is the one that it spoke with last."""
    if (before := society.personas.get(name)) is None:
        return society
    model = before.model or model if model == BY_PROFILE else model or before.model
    now = replace(before, role=role, model=model, mood=mood)
    return _with_persona(society, now)


def approvals_seen(society: Society, approvals: Sequence[Mapping[str, Any]]) -> Society:
    """The approvals that wait."""
    return replace(society, approvals=tuple(approvals))


def approval_wanted(society: Society, approval: Mapping[str, Any]) -> Society:
    """One more that waits, or another state of one."""
    others = [each for each in society.approvals if each["id"] != approval["id"]]
    return replace(society, approvals=(*others, approval))


# Steps


def _alike(event: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(event.get("step", "")), str(event.get("turn", "")), str(event.get("persona", ""))


def _stepped(society: Society, turn: str, event: Mapping[str, Any]) -> Society:
    if event.get("step") == "figure":
        return _figure(society, event)
    if not turn:
        return society  # of no turn, or of one that is not accepted: whose it is hears of it by itself
    if event.get("step") == "accepted":
        return _accepted(society, turn, event)
    if (begun := _in_turn(society, turn)) is None:
        return society
    society, seen = begun, begun.turn
    match event:
        case {"step": "began", "persona": str(name), "role": str(role)}:
            round_ = event.get("round")
            model = str(event.get("model", ""))
            return _began(society, name, role, model, round_ if isinstance(round_, int) else 1)
        case {"step": "waiting", "persona": str(name), "why": str(why)}:
            return _acting(society, name, why, _WAITING)
        case {"step": "loading", "persona": str(name), "model": str(model)}:
            return _acting(society, name, f"waits until {model} is loaded", _WAITING)
        case {"step": "thought", "persona": str(name)}:
            return _acting(society, name, "thinks", _load_of(society))
        case {"step": "restarted", "persona": str(name)}:
            society = _with_words(society, name, "")
            return replace(society, turn=replace(society.turn, contributions=_open_text(society.turn, name, "")))
        case {"step": "spoke", "contribution": Mapping() as said}:
            return _spoke(society, said)
        case {"step": "recollected", "memories": [*memories]}:
            return replace(society, turn=replace(seen, memories=tuple(memories)))
        case {"step": "measured", "dissonance": float(figure), "round": int(round_)}:
            return replace(society, turn=replace(seen, dissonance=_at_round(seen.dissonance, round_, figure)))
        case {"step": "noted", "text": str(text)}:
            return society if text in seen.notes else replace(society, turn=replace(seen, notes=(*seen.notes, text)))
        case {"step": "forging", "line": str(line)}:
            return _acting(society, "BRICK", line, _load_of(society))
        case _:
            return society


def _accepted(society: Society, turn: str, event: Mapping[str, Any]) -> Society:
    question, seen = str(event.get("question", "")), society.turn
    if seen.id != turn:
        if _number(seen.id) > _number(turn) and not event.get("resumed"):
            return society  # late words of an earlier one
        return replace(_void(society), turn=TurnSeen(turn, question, running=True))
    if seen.answer and not event.get("resumed"):
        return society
    return replace(society, turn=replace(seen, question=question or seen.question, running=True, fault="", ahead=0))


def _in_turn(society: Society, turn: str) -> Society | None:
    """The society in which that turn is the one that is seen; None where that turn is over."""
    seen = society.turn
    if seen.id == turn:
        return society if seen.running else None
    if _number(turn) < _number(seen.id):
        return None
    return replace(_void(society), turn=TurnSeen(turn, running=True))  # its beginning was missed


def _began(society: Society, name: str, role: str, model: str, round_: int) -> Society:
    seen = society.turn
    if not any(each.persona == name and each.step == role and each.round == round_ for each in seen.contributions):
        open_ = Contribution(name, role, "", round_, model, done=False)
        still = tuple(each for each in seen.contributions if each.done or each.persona != name)
        society = replace(society, turn=replace(seen, contributions=(*still, open_)))
        society = _with_words(society, name, "")
    if (persona := society.personas.get(name)) is not None and model:
        society = _with_persona(society, replace(persona, model=model))
    return _acting(society, name, ACTIVITIES.get(role, role), _load_of(society))


def _said(society: Society, turn: str, name: str, text: str) -> Society:
    begun = _in_turn(society, turn) if turn else None
    if begun is None or (persona := begun.personas.get(name)) is None:
        return society
    words = persona.saying + text
    society = _with_persona(begun, replace(persona, saying=words, load=persona.load or _load_of(begun)))
    return replace(society, turn=replace(society.turn, contributions=_open_text(society.turn, name, words)))


def _spoke(society: Society, said: Mapping[str, Any]) -> Society:
    name, role, text, model = (str(said.get(key, "")) for key in ("persona", "role", "text", "model"))
    seen = society.turn
    earlier = [each for each in seen.contributions if each.done and each.persona == name and each.step == role]
    open_ = [each for each in seen.contributions if not each.done and each.persona == name]
    begun = next((each.round for each in open_ if each.step == role), 0)
    others = tuple(each for each in seen.contributions if each.done or each.persona != name)
    if begun or not any(each.text == text for each in earlier):  # else it is told a second time
        round_ = begun or len(earlier) + 1
        others = (*others, Contribution(name, role, text, round_, model))
        society = replace(society, turn=replace(seen, contributions=others))
    if (persona := society.personas.get(name)) is not None:
        society = _with_persona(society, replace(persona, saying="", activity="", load=0.0))
    return society


def _figure(society: Society, event: Mapping[str, Any]) -> Society:
    name, at_s, value = event.get("name"), event.get("at_s"), event.get("value")
    if not isinstance(name, str) or not isinstance(at_s, int | float) or not isinstance(value, int | float):
        return society
    points = _merged(society.series.get(name, ()), ((float(at_s), float(value)),))
    return _with_colours(replace(society, series={**society.series, name: points}), {name: float(value)})


def _with_colours(society: Society, newest: Mapping[str, float]) -> Society:
    """The figures `character.NAME` are the personas' dissonance with themselves."""
    personas = dict(society.personas)
    for name, persona in society.personas.items():
        figure = newest.get(f"character.{name}")
        if figure is not None and figure != persona.dissonance:
            personas[name] = replace(persona, dissonance=figure)
    return replace(society, personas=personas)


# Durable events


def _applied(society: Society, event: Durable) -> Society:
    society = replace(society, epoch=event.epoch, sequence=event.sequence, last_commit_at=event.at)
    for kind, key in event.rows:
        if (
            kind == "turn"
            and _number(key) > _number(society.turn.id)
            and not (society.turn.running and society.turn.id)
        ):
            question = society.turn.question if society.turn.running else ""
            society = replace(society, turn=TurnSeen(key, question, running=True))
        elif key == society.turn.id and kind in ("reply", "stop"):
            society = _void(society)
            fault = society.turn.fault or "it was stopped before it was answered" if kind == "stop" else ""
            society = replace(society, turn=replace(society.turn, running=False, fault=fault, ahead=0))
    return society


def _void(society: Society) -> Society:
    """Without what is provisional: words that are being said, and what is being done."""
    society, seen = _quiet(society), society.turn
    if all(each.done for each in seen.contributions):
        return society
    return replace(society, turn=replace(seen, contributions=tuple(each for each in seen.contributions if each.done)))


def _quiet(society: Society) -> Society:
    """Nobody speaks or does anything."""
    if not any(each.saying or each.activity or each.load for each in society.personas.values()):
        return society
    personas = {name: replace(each, saying="", activity="", load=0.0) for name, each in society.personas.items()}
    return replace(society, personas=personas)


def _with_gap(society: Society) -> Society:
    """Words were dropped: who is speaking has a gap there."""
    for name, each in society.personas.items():
        if each.saying and not each.saying.endswith(GAP):
            society = _with_words(society, name, each.saying + GAP)
            seen = society.turn
            society = replace(society, turn=replace(seen, contributions=_open_text(seen, name, each.saying + GAP)))
    return society


# Parts


def _with_persona(society: Society, persona: Persona) -> Society:
    return replace(society, personas={**society.personas, persona.name: persona})


def _with_words(society: Society, name: str, words: str) -> Society:
    persona = society.personas.get(name)
    return society if persona is None else _with_persona(society, replace(persona, saying=words))


def _acting(society: Society, name: str, activity: str, load: float) -> Society:
    persona = society.personas.get(name)
    return society if persona is None else _with_persona(society, replace(persona, activity=activity, load=load))


def _load_of(society: Society) -> float:
    """The load of one who speaks: the more of the context was filled in the last turn, the higher."""
    points = society.series.get("load.fill", ())
    fill = min(1.0, max(0.0, points[-1][1])) if points else 0.0
    return _SPEAKING + (_FULL - _SPEAKING) * fill


def _open_text(seen: TurnSeen, name: str, text: str) -> tuple[Contribution, ...]:
    return tuple(each if each.done or each.persona != name else replace(each, text=text) for each in seen.contributions)


def _at_round(figures: tuple[float, ...], round_: int, figure: float) -> tuple[float, ...]:
    """`figures` with that of a round, from 1; rounds that were not heard of are as the one after them."""
    if round_ < 1 or round_ > 1_000:
        return figures
    padded = [*figures, *([figure] * (round_ - len(figures)))]
    padded[round_ - 1] = figure
    return tuple(padded)


def _dissonance(turn: Mapping[str, Any]) -> tuple[float, ...]:
    if turn["argued"]:
        return tuple(each["dissonance"] for each in turn["argued"])
    return () if turn["dissonance"] is None else (turn["dissonance"],)


def _merged(
    one: tuple[tuple[float, float], ...], other: tuple[tuple[float, float], ...]
) -> tuple[tuple[float, float], ...]:
    """Both in order of time, each point once, without what is too old."""
    if one and other and len(other) == 1 and other[0][0] > one[-1][0]:
        points = [*one, *other]
    else:
        # The backend rounds what it keeps, so that a figure that was heard comes again a little different.
        seen = {(round(at_s, 1), round(value, 4)): (at_s, value) for at_s, value in (*other, *one)}
        points = sorted(seen.values())
    oldest = points[-1][0] - SERIES_S if points else 0.0
    first = next((place for place, (at_s, _) in enumerate(points) if at_s >= oldest), 0)
    return tuple(points[max(first, len(points) - SERIES_POINTS) :])


def _number(turn: str) -> int:
    """Turns count up; -1 of none."""
    return int(turn) if turn.isdecimal() else -1
