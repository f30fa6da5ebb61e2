"""Status: how the backend is. The image, the engine, memory, sandboxes and each of its services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.image import Verify
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Columns, Line, Span, Tone, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Notice, Outcome, Seen, Send, pane
from a4ps.ui.model.society import Society

_STATES: Final[Mapping[str, Tone]] = {
    "running": "ok",
    "waiting": "muted",
    "done": "muted",
    "stopped": "muted",
    "backing off": "bad",
}


@pane
class Status:
    """State: `verified`, what the last check of the image said."""

    name = "status"
    size = (420.0, 400.0)

    def title(self, seen: Seen) -> str:
        return f"Status: {seen.society.link}"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - the society has its status
        return ()

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(_blocks(seen))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:  # noqa: ARG002 - as every pane's
        if act.verb != "verify":
            return ()
        deep = bool(act.about.get("deep"))
        return [Send(Verify(deep=deep), "check the image" + (" wholly" if deep else ""), tag="verified")]

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        if outcome.value is None:
            return [Notice(outcome.fault, outcome.next_step, bad=True)] if outcome.fault else []
        found = outcome.value
        kept = {key: found[key] for key in ("ok", "deep", "commits", "rows")}
        told = [str(each)[:300] for each in (*found["faults"], *found["warnings"])][:20]
        return [Keep({**seen.state, "verified": {**kept, "told": told}})]


def _blocks(seen: Seen) -> Iterator[Block]:
    society, status = seen.society, seen.society.status
    tone: Tone = "ok" if society.link == "live" else "bad" if society.link in ("lost", "refused") else "muted"
    yield Line((Span(society.link, tone), Span(f"  {society.link_detail}".rstrip(), "muted")))
    if status is None:
        yield say("Nothing is known of the backend yet.", "muted")
        return
    yield _row("A4PS", f"{status['version']}, process {status['pid']}, up {_span(status['uptime_s'])}")
    image = status["image"]
    size_mb = (image["file_bytes"] + image["wal_bytes"]) / 1e6
    yield _row("image", f"{image['commits']:,} commits, {size_mb:.1f} MB", "bad" if image["read_only"] else "text")
    if image["read_only"]:
        yield say(image["read_only"], "bad", indent=1)
    engine = status["engine"]
    yield _row(
        "engine", f"{engine['name']}, {engine['loads']} loads, {engine['spills']} spills, {engine['waiting']} waiting"
    )
    turns = status["turns"]
    yield _row("turns", f"{turns['answered']} answered, {turns['stopped']} stopped, {turns['open']} open")
    memory = status["memory"]
    yield _row(
        "memory",
        f"{memory['memories']:,} memories, {memory['vectors']:,} vectors",
        "warn" if memory["fault"] else "text",
    )
    sandbox = status["sandbox"]
    yield _row("sandbox", f"{sandbox['calls']} calls, {sandbox['failures']} failures, {sandbox['ready']} ready")
    yield _row("windows on it", str(status["sessions"]))
    yield say("Services", "strong")
    for name, service in status["services"].items():
        yield from _service(name, service)
    yield Buttons((Button("Check the image", Act("verify")), Button("Check all of it", Act("verify", {"deep": True}))))
    if (verified := seen.state.get("verified")) is not None:
        whole = "all" if verified["deep"] else "the newest"
        said = f"{whole} of {verified['commits']:,} commits, {verified['rows']:,} rows"
        yield say(f"Sound: {said}." if verified["ok"] else f"Damaged: {said}.", "ok" if verified["ok"] else "bad")
        for each in verified["told"]:
            yield say(each, "warn", indent=1)


def _service(name: str, service: Mapping[str, Any]) -> Iterator[Block]:
    restarts = f"{service['restarts']} restarts" if service["restarts"] else ""
    yield Columns(
        (Span(name), Span(service["state"], _STATES.get(service["state"], "text")), Span(restarts, "warn")),
        (0.44, 0.28, 0.28),
    )
    if service["last_error"]:
        yield say(service["last_error"], "muted", indent=1)


def _row(name: str, text: str, tone: Tone = "text") -> Columns:
    return Columns((Span(name, "muted"), Span(text, tone)), (0.26, 0.74))


def _span(seconds: float) -> str:
    """How long, in the largest unit that says something."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
