"""Status: how the backend is. The image, the engine, memory, sandboxes and each of its services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.image import Verify
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Columns, Line, Span, Tone, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Notice, Open, Outcome, Seen, Send, pane
from a4ps.ui.model.society import LinkState, Society

_STATES: Final[Mapping[str, Tone]] = {
    "running": "ok",
    "waiting": "muted",
    "done": "muted",
    "stopped": "muted",
    "backing off": "bad",
}

#: What can be done about a link that is not live.
_WAYS_OUT: Final[Mapping[LinkState, str]] = {
    "lost": "It is looked for again by itself; a4ps up starts one that stays.",
    "refused": "a4ps doctor says what is wrong.",
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
        if act.verb == "open":
            return [Open(str(act.about["pane"]))]
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
    if society.link in _WAYS_OUT:
        yield say(_WAYS_OUT[society.link], "muted")
    if status is None:
        yield say("Nothing is known of the backend yet.", "muted")
        return
    if society.link != "live":
        yield say("What follows is as it was.", "warn")
    stays = "ends by itself when idle" if status["fleeting"] else "stays until a4ps down"
    yield _row("A4PS", f"{status['version']}, process {status['pid']}, up {_span(status['uptime_s'])}; it {stays}")
    image = status["image"]
    size_mb = (image["file_bytes"] + image["wal_bytes"]) / 1e6
    yield _row("image", f"{image['generation']:,} commits, {size_mb:.1f} MB", "bad" if image["read_only"] else "text")
    if image["read_only"]:
        yield say(image["read_only"], "bad", indent=1)
    engine = status["engine"]
    loads = f"{engine['loads']:,} loads, {engine['spills']:,} spills, {engine['waiting']:,} waiting"
    yield _row(
        "engine", f"{engine['name']}, {loads}" if engine["name"] else "none was needed yet", act=_opens("models")
    )
    turns = status["turns"]
    told = f"{turns['answered']:,} answered, {turns['stopped']:,} stopped, {turns['open']:,} open"
    yield _row("turns", told, act=_opens("transcript"))
    memory = status["memory"]
    yield _row(
        "memory",
        f"{memory['memories']:,} memories, {memory['vectors']:,} vectors"
        + (f", {memory['left']:,} to embed" if memory["left"] else ""),
        "warn" if memory["fault"] else "text",
        act=_opens("memory"),
    )
    if memory["fault"]:
        yield say(memory["fault"], "warn", indent=1)
    sandbox = status["sandbox"]
    told = f"{sandbox['calls']:,} calls, {sandbox['failures']:,} failures, {sandbox['ready']} ready"
    yield _row("sandbox", told, act=_opens("tool_bench"))
    yield _row("sessions", str(status["sessions"]))
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
        (0.22, 0.4, 0.38),
    )
    if service["last_error"]:
        yield say(service["last_error"], "muted", indent=1)


def _row(name: str, text: str, tone: Tone = "text", act: Act | None = None) -> Columns:
    return Columns((Span(name, "muted"), Span(text, tone)), (0.22, 0.78), act)


def _opens(pane: str) -> Act:
    return Act("open", {"pane": pane})


def _span(seconds: float) -> str:
    """How long, in the two largest units that say something."""
    minutes, rest_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{rest_s} s"
