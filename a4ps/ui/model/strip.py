"""What the status strip says of the image, the models' memory and the link. Pure; the time is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from a4ps.ui.model.blocks import Act, Tone
from a4ps.ui.model.society import LinkState, Society

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0

#: What pressing a part of the strip opens.
_STATUS = Act("open", {"pane": "status"})
_MODELS = Act("open", {"pane": "models"})
_TIMELINE = Act("open", {"pane": "timeline"})

_LINKS: Mapping[LinkState, tuple[str, Tone, str]] = {
    "connecting": ("connecting", "muted", "Looking for the backend."),
    "live": ("live", "ok", "What is shown is what is so."),
    "lost": ("lost", "bad", "The backend does not answer; what is shown is as it was. It is looked for again."),
    "refused": ("refused", "bad", "The backend does not take this window in."),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the strip. `detail` is said when the pointer is on it; `fraction` is a bar's, None for no bar."""

    text: str
    tone: Tone = "muted"
    detail: str = ""
    act: Act | None = None
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Strip:
    """The strip's parts, and when one of them would say something else though nothing has happened (None: never)."""

    image: Piece
    models: Piece
    link: Piece
    next_s: float | None


def strip_of(society: Society, now_s: float) -> Strip:
    """The strip at a time, in seconds since 1970 as the society's are."""
    return Strip(_image(society, now_s), _models(society), _link(society), _next_s(society, now_s))


def _image(society: Society, now_s: float) -> Piece:
    status = society.status or {}
    image = _part(status, "image")
    changes = max(society.sequence, int(image.get("generation") or 0))
    if not changes and not image:
        return Piece("image …", detail="Nothing is known of the image yet.")
    text = f"image {changes:,} {'change' if changes == 1 else 'changes'}"
    path = str(image.get("path", ""))
    if image.get("read_only"):
        return Piece(f"{text} · read-only", "bad", f"Nothing can be saved: {image['read_only']}", _STATUS)
    if society.last_commit_at:
        text += f" · saved {age(now_s - society.last_commit_at)}"
    size = f"{path} · {int(image.get('file_bytes') or 0) / 1e6:,.1f} MB" if path else ""
    return Piece(text, "muted", size, _TIMELINE)


def _models(society: Society) -> Piece:
    engine = _part(society.status or {}, "engine")
    if not engine:
        return Piece("models …", detail="Nothing is known of the models yet.")
    name = str(engine.get("name", ""))
    if not name:
        return Piece("no model", "warn", "The four have not been asked anything yet, or have no model.", _MODELS)
    if name == "rehearsal":
        return Piece(
            "rehearsal: no model", "warn", "The four say prepared lines. /models says how to get a model.", _MODELS
        )
    residents = [each for each in engine.get("residents") or () if isinstance(each, Mapping)]
    on_card = sum(int(each.get("vram_bytes") or 0) for each in residents)
    held = on_card or sum(int(each.get("size_bytes") or 0) for each in residents)
    budget = engine.get("budget_bytes")
    what = "memory" if residents and not on_card else "VRAM"
    text, fraction = f"{what} {held / 1e9:.1f} GB", None
    if isinstance(budget, int) and budget > 0:
        text, fraction = f"{what} {held / 1e9:.1f} / {budget / 1e9:.1f} GB", min(1.0, held / budget)
    names = [str(each.get("name", "")) for each in residents]
    if len(names) == 1:
        text += f" · {names[0]} resident"
    elif names:
        text += f" · {len(names)} resident"
    waiting = int(engine.get("waiting") or 0)
    if waiting:
        text += f" · {waiting} waiting"
    waits = [each.name for each in society.personas.values() if waiting and each.activity.startswith("wait")]
    detail = (
        "; ".join(part for part in (", ".join(names), f"{', '.join(waits)} waits" if waits else "") if part)
        or "No model is in memory."
    )
    return Piece(text, "warn" if waiting else "muted", detail, _MODELS, fraction)


def _link(society: Society) -> Piece:
    text, tone, detail = _LINKS[society.link]
    return Piece(text, tone, society.link_detail or detail, _STATUS)


def _part(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = status.get(name)
    return part if isinstance(part, Mapping) else {}


def age(seconds: float) -> str:
    """How long ago, in words that change no oftener than each minute; what is to come is now."""
    if seconds < _MINUTE:
        return "just now"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min ago"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)} h ago"
    days = int(seconds // _DAY)
    return "yesterday" if days == 1 else f"{days} days ago"


def _next_s(society: Society, now_s: float) -> float | None:
    if not society.last_commit_at:
        return None
    passed = max(0.0, now_s - society.last_commit_at)
    unit = _MINUTE if passed < _HOUR else _HOUR if passed < _DAY else _DAY
    return society.last_commit_at + (passed // unit + 1) * unit
