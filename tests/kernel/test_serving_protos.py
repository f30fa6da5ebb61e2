"""What a client sees of Protos, and how it changes them: in one transaction each, tried before, and undone by its number."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from a4ps.errors import CallerError, Conflict, MethodRefused, UnknownProto, Unstorable
from a4ps.events import Calling, Event, MethodFailed, event_bus
from a4ps.governance.roles import Role
from a4ps.image.proto import Proto
from a4ps.kernel.backend import Backend
from a4ps.kernel.dispatch import handler_of
from a4ps.kernel.publisher import Publisher
from a4ps.kernel.serving.call import Call
from a4ps.kernel.trying import tried
from a4ps.kernel.wiring import environment
from a4ps.protocol.codec import published
from a4ps.protocol.messages import Provisional
from a4ps.protocol.requests import console, forgetting, image, known_requests, protos
from a4ps.protocol.requests.base import Request
from a4ps.protocol.steps import Failed, step_of
from tests.sandbox.tiers_here import missing

CODEX = {"role": "keeper", "model_name": "m", "system_prompt": "Keep."}
GREET = (
    "def greet(self, whom, times=1):\n"
    '    """Says hello."""\n'
    '    text = f"hello {whom}"\n'
    '    return " ".join([text] * times)\n'
)
FAILS = (
    "def split(self, many):\n"
    "    api_key = 'sk-123'\n"
    "    parts = list(self.state['notes'])\n"
    "    return len(parts) // many\n"
)


@pytest.fixture
async def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backend]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    opened = await Backend.open(environment(str(tmp_path / "home"), {"A4PS_ENGINE": "rehearsal"}), fleeting=True)
    base = Proto("BASE", CODEX, state={"shared": [1, 2], "mood": "even"})
    base.define("greet", GREET)
    opened.protos.register_proto(base)
    note = Proto("NOTE", CODEX, parents=["BASE"], state={"notes": [{"text": "tea", "done": False}], "count": 3})
    opened.protos.register_proto(note)
    yield opened
    await opened.aclose()


async def asked(backend: Backend, request: Request) -> Mapping[str, Any]:
    """The object of a request, which has the type that it should."""
    call: Call[Any] = Call(request, "key", Role.ARCHITECT, "test", lambda _: None)
    value = await handler_of(type(request))(backend, call)
    TypeAdapter(type(request).gives).validate_python(value, extra="forbid")
    return value


async def slots(backend: Backend, *opened: list[str | int], version: int | None = None) -> dict[str, Any]:
    """Path's text → slot, of NOTE."""
    seen = await asked(backend, protos.Proto(proto="NOTE", opened=list(opened), version=version))
    return {".".join(map(str, each["path"])): each for each in seen["slots"]}


def test_looking_is_a_clients_and_changing_the_architects() -> None:
    looking = {"protos", "proto", "slot", "versions", "failures", "failure"}
    ours = {name: kind for name, kind in known_requests().items() if kind.__module__ == protos.__name__}
    assert {name for name, kind in ours.items() if kind.needs is Role.CLIENT} == looking
    assert {name for name, kind in ours.items() if kind.needs is Role.ARCHITECT} == set(ours) - looking
    assert {name for name, kind in ours.items() if kind.again} == looking


async def test_all_protos_are_there_the_personas_as_well(backend: Backend) -> None:
    found = {each["name"]: each for each in (await asked(backend, protos.Protos()))["protos"]}
    assert {"ALFRED", "BABS", "BRICK", "ROBIN", "BASE", "NOTE"} == set(found)
    assert found["BRICK"]["kind"] == "persona"
    assert (found["NOTE"]["kind"], found["NOTE"]["methods"], found["NOTE"]["slots"]) == ("proto", 1, 4)
    assert found["BASE"]["mood"] == "even"
    assert found["NOTE"]["parents"] == ["BASE"]


async def test_a_tree_opens_where_it_is_asked_to_and_says_what_it_inherits(backend: Backend) -> None:
    closed = await slots(backend)
    assert list(closed) == ["shared", "mood", "notes", "count"]
    assert (closed["shared"]["inherited"], closed["count"]["inherited"]) == ("BASE", "")
    assert closed["notes"]["opens"]
    assert not closed["count"]["opens"]
    opened = await slots(backend, ["notes"], ["notes", 0])
    assert [each["depth"] for each in opened.values()] == [0, 0, 0, 1, 2, 2, 0]
    assert opened["notes.0.text"]["plain"]
    assert opened["notes.0.text"]["text"] == "tea"
    assert (opened["notes.0.done"]["type"], opened["notes.0.done"]["text"]) == ("bool", "False")


async def test_methods_tell_whose_they_are_and_how_far_they_are_trusted(backend: Backend) -> None:
    backend.protos.get_proto("NOTE").define(
        "count_up",
        "def count_up(self):\n    self.state['count'] += 1\n",
        author="BABS",
        reads=["count"],
        writes=["count"],
    )
    seen = {each["name"]: each for each in (await asked(backend, protos.Proto(proto="NOTE")))["methods"]}
    assert (seen["greet"]["inherited"], seen["greet"]["level"]) == ("BASE", "in-process")
    assert (seen["count_up"]["author"], seen["count_up"]["level"]) == ("BABS", "sandboxed")
    assert seen["greet"]["signature"] == "(whom, times=1)"
    assert seen["greet"]["source"] == GREET
    assert seen["count_up"]["writes"] == ["count"]


async def test_setting_a_slot_is_one_change_that_can_be_reverted(backend: Backend) -> None:
    set_one = await asked(
        backend, protos.SetSlot(proto="NOTE", path=["notes", 0, "text"], text="a \U0001f375", plain=True)
    )
    note = backend.protos.get_proto("NOTE")
    assert note.state["notes"][0]["text"] == "a \U0001f375"
    history = (await asked(backend, image.History(proto="NOTE")))["changes"]
    assert (history[-1]["change"], history[-1]["author"]) == (set_one["change"], "architect")
    assert history[-1]["reason"] == "set NOTE.notes[0]['text']"
    assert (await slots(backend, version=set_one["change"] - 1))["notes"]["text"] == "[{'text': 'tea', 'done': False}]"
    await asked(backend, image.Revert(change=set_one["change"]))
    assert note.state["notes"][0]["text"] == "tea"


@pytest.mark.parametrize(
    "text", ["שלום עולם", "مرحبا‏ (abc) ‫x‬", "e\u0301 \U0001f9d1‍\U0001f33e", "line\nline\ttab", "'quoted' \\n"]
)
async def test_a_text_is_kept_as_it_was_entered(backend: Backend, text: str) -> None:
    await asked(backend, protos.SetSlot(proto="NOTE", path=["mood"], text=text, plain=True))
    assert backend.protos.get_proto("NOTE").state["mood"] == text
    assert (await asked(backend, protos.Slot(proto="NOTE", path=["mood"])))["text"] == text
    assert (await slots(backend))["mood"]["inherited"] == ""
    assert backend.protos.get_proto("BASE").state["mood"] == "even"


async def test_a_large_text_is_short_in_the_tree_and_whole_on_its_own(backend: Backend) -> None:
    large = "schön " * 200_000
    await asked(backend, protos.SetSlot(proto="NOTE", path=["mood"], text=large[:1_000_000], plain=True))
    short = (await slots(backend))["mood"]
    assert (len(short["text"]), short["cut"], short["size"]) == (200, True, 1_000_000)
    assert (await asked(backend, protos.Slot(proto="NOTE", path=["mood"])))["text"] == large[:1_000_000]
    async with backend.protos.transaction() as transaction:
        transaction.edit("NOTE").state["mood"] = large
    whole = await asked(backend, protos.Slot(proto="NOTE", path=["mood"]))
    assert (len(whole["text"]), whole["cut"], whole["editable"]) == (1_000_000, True, False)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (["count"], "three"),
        (["count"], "[1]"),
        (["count"], "True"),
        (["count"], "__import__('os')"),
        (["count"], "(" * 5_000),
        (["notes", 7, "text"], "'x'"),
        (["notes", "0", "text"], "'x'"),
        (["notes", 0, "text", "deeper"], "'x'"),
        (["nothing", 0], "1"),
    ],
)
async def test_what_cannot_be_there_is_refused_and_changes_nothing(
    backend: Backend, path: list[str | int], text: str
) -> None:
    before = backend.protos.get_proto("NOTE").version
    with pytest.raises(CallerError) as refused:
        await asked(backend, protos.SetSlot(proto="NOTE", path=path, text=text))
    assert refused.value.next_step
    assert backend.protos.get_proto("NOTE").version == before


async def test_json_is_understood_and_the_same_value_is_no_change(backend: Backend) -> None:
    await asked(backend, protos.SetSlot(proto="NOTE", path=["notes", 0], text='{"text": "x", "done": true}'))
    assert backend.protos.get_proto("NOTE").state["notes"][0]["done"] is True
    assert (await asked(backend, protos.SetSlot(proto="NOTE", path=["count"], text="3")))["change"] is None
    assert (await asked(backend, protos.SetSlot(proto="NOTE", path=["count"], text="3.5")))["change"]


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("system_prompt", "Keep\nit.", "Keep\nit."),
        ("pillars", "one\n\n two ", ("one", "two")),
        ("temperature", "0.25", 0.25),
        ("extra", '{"hue": "teal"}', {"hue": "teal"}),
    ],
)
async def test_a_part_of_the_codex_is_one_change(backend: Backend, field: Any, text: str, value: object) -> None:
    note = backend.protos.get_proto("NOTE")
    before = note.codex
    done = await asked(backend, protos.SetCodex(proto="NOTE", field=field, text=text))
    assert getattr(note.codex, field) == value
    assert done["change"] == note.version
    assert (await asked(backend, protos.SetCodex(proto="NOTE", field=field, text=text)))["change"] is None
    await asked(backend, image.Revert(change=done["change"]))
    assert note.codex == before


@pytest.mark.parametrize(
    ("field", "text"), [("temperature", "hot"), ("temperature", "-1"), ("temperature", "nan"), ("extra", "[1]")]
)
async def test_a_codex_that_cannot_be_is_refused(backend: Backend, field: Any, text: str) -> None:
    with pytest.raises(CallerError) as refused:
        await asked(backend, protos.SetCodex(proto="NOTE", field=field, text=text))
    assert refused.value.next_step


async def test_entries_are_added_and_removed(backend: Backend) -> None:
    await asked(backend, protos.SetSlot(proto="NOTE", path=["notes", 1], text="{'text': 'two'}"))
    await asked(backend, protos.SetSlot(proto="NOTE", path=["notes", 1, "by"], text="me", plain=True))
    await asked(backend, protos.RemoveSlot(proto="NOTE", path=["notes", 0]))
    note = backend.protos.get_proto("NOTE")
    assert note.state["notes"] == [{"text": "two", "by": "me"}]
    await asked(backend, protos.RemoveSlot(proto="NOTE", path=["count"]))
    assert "count" not in note.state
    with pytest.raises(CallerError, match="inherits"):
        await asked(backend, protos.RemoveSlot(proto="NOTE", path=["mood"]))
    with pytest.raises(CallerError, match="there is no"):
        await asked(backend, protos.RemoveSlot(proto="NOTE", path=["notes", 5]))


async def test_a_method_is_defined_in_one_change_and_its_versions_stand_side_by_side(backend: Backend) -> None:
    first = await asked(backend, protos.DefineMethod(proto="NOTE", method="greet", source=GREET, reason="mine"))
    other = GREET.replace("hello", "hi")
    second = await asked(backend, protos.DefineMethod(proto="NOTE", method="greet", source=other))
    assert backend.protos.get_proto("NOTE").greet("you") == "hi you"
    found = (await asked(backend, protos.Versions(proto="NOTE", method="greet")))["versions"]
    assert [(each["change"], each["source"], each["parts"]) for each in found[:2]] == [
        (second["change"], other, ["method greet"]),
        (first["change"], GREET, ["method greet"]),
    ]
    assert found[-1]["source"] is None
    newest = await asked(backend, protos.Versions(proto="NOTE", method="greet", limit=1))
    assert (len(newest["versions"]), newest["left"], newest["versions"][0]["parts"]) == (1, 1, ["method greet"])
    gone = await asked(backend, protos.ForgetMethod(proto="NOTE", method="greet"))
    assert backend.protos.get_proto("NOTE").greet("you") == "hello you"
    await asked(backend, image.Revert(change=gone["change"]))
    assert backend.protos.get_proto("NOTE").greet("you") == "hi you"


@pytest.mark.parametrize(
    "source", ["def greet(:\n", "def other(self): pass\n", "greet = 1\n", "async def greet(self): pass\n"]
)
async def test_a_text_that_is_no_method_is_refused(backend: Backend, source: str) -> None:
    with pytest.raises(MethodRefused):
        await asked(backend, protos.DefineMethod(proto="NOTE", method="greet", source=source))
    assert not backend.protos.get_proto("NOTE").methods


@pytest.mark.skipif(bool(missing("bubblewrap") and missing("runsc")), reason="no sandbox works here")
async def test_a_method_that_fails_its_test_in_the_sandbox_is_not_put_in_place(backend: Backend) -> None:
    bad = GREET.replace("text = f", "print('trying'); text = missing + f")
    request = protos.DefineMethod(proto="NOTE", method="greet", source=bad, test=True, arguments="'you', times=2")
    refused = await asked(backend, request)
    assert refused["change"] is None
    tried = refused["tried"]
    assert (tried["good"], tried["where"], tried["output"]) == (False, "sandbox", "trying\n")
    assert (tried["failure"]["kind"], tried["failure"]["frames"][-1]["line"]) == ("NameError", 3)
    assert not backend.protos.get_proto("NOTE").methods
    passed = await asked(backend, request.model_copy(update={"source": GREET}))
    assert (passed["tried"]["good"], passed["tried"]["value"]) == (True, "'hello you hello you'")
    seen = await asked(backend, protos.Proto(proto="NOTE"))
    assert seen["version"] == passed["change"]
    assert seen["evidence"]["test"]["arguments"] == "'you', times=2", "the change says what it rests on"


@pytest.mark.skipif(bool(missing("bubblewrap") and missing("runsc")), reason="no sandbox works here")
async def test_what_is_tried_in_the_sandbox_sees_the_slots_and_keeps_nothing(backend: Backend) -> None:
    source = "def grow(self):\n    self.state['count'] += 1\n    return self.count\n"
    tried = await asked(backend, protos.TryMethod(proto="NOTE", method="grow", source=source, sandbox=True))
    assert (tried["value"], tried["changed"]) == ("4", ["count"])
    assert backend.protos.get_proto("NOTE").state["count"] == 3


async def test_what_is_tried_here_is_told_and_not_kept(backend: Backend) -> None:
    source = "def grow(self, by):\n    print('growing')\n    self.state['count'] += by\n    return self.greet('you')\n"
    before = backend.protos.get_proto("NOTE").version
    tried = await asked(backend, protos.TryMethod(proto="NOTE", method="grow", source=source, arguments="by=2"))
    assert (tried["value"], tried["output"], tried["changed"]) == ("'hello you'", "growing\n", ["count"])
    assert backend.protos.get_proto("NOTE").version == before
    failed = await asked(backend, protos.TryMethod(proto="NOTE", method="grow", source=source, arguments="by='x'"))
    assert (failed["good"], failed["failure"]["kind"]) == (False, "TypeError")
    assert failed["failure"]["frames"][-1]["locals"]["by"] == "'x'"
    assert not (await asked(backend, protos.Failures()))["failures"], "a trial is no failed call"


@pytest.mark.parametrize("arguments", ["1)(2", "1)+_(2", "open('x')", "*[1]", "**{}", "1 2", "x"])
async def test_arguments_are_literals(backend: Backend, arguments: str) -> None:
    with pytest.raises(CallerError, match="are no arguments"):
        await asked(backend, protos.TryMethod(proto="NOTE", method="greet", arguments=arguments))


async def test_the_last_failed_call_of_a_method_is_kept_until_it_is_retried(backend: Backend) -> None:
    await asked(backend, protos.DefineMethod(proto="NOTE", method="split", source=FAILS))
    told: list[object] = []
    heard = threading.Event()

    def hear(data: object) -> None:
        told.append(data)
        heard.set()

    observer = Calling(hear)
    event_bus.attach(observer, Event.METHOD_FAILED)
    try:
        with pytest.raises(ZeroDivisionError):
            backend.protos.get_proto("NOTE").split(0)
        assert heard.wait(30)
    finally:
        event_bus.detach(observer)
    assert [(each.proto, each.method, each.error) for each in told if isinstance(each, MethodFailed)] == [
        ("NOTE", "split", "ZeroDivisionError")
    ]
    found = await asked(backend, protos.Failure(proto="NOTE", method="split"))
    frame = found["frames"][-1]
    assert (frame["line"], frame["function"], frame["source"]) == (4, "split", "return len(parts) // many")
    assert (frame["proto"], frame["method"], frame["text"]) == ("NOTE", "split", FAILS)
    assert frame["locals"]["many"] == "0"
    assert frame["locals"]["parts"].startswith("[{'text': 'tea'")
    assert frame["locals"]["api_key"] == "[secret]"
    assert len(found["frames"]) == 1, "our own frames are nobody's"
    assert (found["last"], found["again"], found["arguments"]) == (True, True, "0")
    assert [each["failed"] for each in (await asked(backend, protos.Protos()))["protos"] if each["failed"]] == [
        ["split"]
    ]

    again = await asked(backend, protos.Retry(proto="NOTE", method="split"))
    assert not again["good"]
    mended = FAILS.replace("// many", "// max(many, 1)")
    assert (await asked(backend, protos.Retry(proto="NOTE", method="split", source=mended)))["value"] == "1"
    with pytest.raises(ZeroDivisionError):
        backend.protos.get_proto("NOTE").split(0)
    await asked(backend, protos.DefineMethod(proto="NOTE", method="split", source=mended))
    backend.protos.get_proto("NOTE").split(0)
    assert not (await asked(backend, protos.Failure(proto="NOTE", method="split")))["last"], "it has worked since"


async def test_everybody_is_told_that_a_live_method_failed(backend: Backend) -> None:
    await asked(backend, protos.DefineMethod(proto="NOTE", method="split", source=FAILS))
    frames: asyncio.Queue[bytes] = asyncio.Queue()
    publisher = Publisher(backend.store, "epoch", frames.put_nowait)
    try:
        with pytest.raises(ZeroDivisionError):
            backend.protos.get_proto("NOTE").split(0)
        told = published(await asyncio.wait_for(frames.get(), 30))
    finally:
        publisher.close()
    assert isinstance(told, Provisional)
    step = step_of(told.events[0])
    assert isinstance(step, Failed)
    assert (step.proto, step.method, step.error) == ("NOTE", "split", "ZeroDivisionError")


async def test_what_is_forgotten_is_in_no_failure(backend: Backend) -> None:
    await asked(backend, protos.DefineMethod(proto="NOTE", method="split", source=FAILS))
    with pytest.raises(TypeError):
        backend.protos.get_proto("NOTE").split("the secret garden")
    await asked(backend, forgetting.Forget(text="the secret garden"))
    assert not (await asked(backend, protos.Failures()))["failures"]
    with pytest.raises(UnknownProto, match="no failed call"):
        await asked(backend, protos.Retry(proto="NOTE", method="split"))


async def test_self_is_the_proto_that_an_expression_is_about(backend: Backend) -> None:
    found = await asked(backend, console.Evaluate(source="self.mood = 'calm'; self", proto="NOTE"))
    assert (found["proto"], found["error"]) == ("NOTE", "")
    assert backend.protos.get_proto("NOTE").state["mood"] == "calm"
    assert (await asked(backend, console.Complete(text="self.co", cursor=7, proto="NOTE")))["names"] == [
        "codex",
        "count",
    ]
    assert "NameError" in (await asked(backend, console.Evaluate(source="self")))["error"]
    with pytest.raises(UnknownProto):
        await asked(backend, console.Evaluate(source="self", proto="NOBODY"))


async def test_two_definitions_of_one_method_do_not_hide_each_other(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one was tried, another was put in place."""

    def slow(*args: Any, **options: Any) -> Any:
        backend.protos.get_proto("NOTE").define("greet", GREET.replace("hello", "meanwhile"))
        return tried(*args, **{**options, "sandbox": False})

    monkeypatch.setattr("a4ps.kernel.serving.protos.tried", slow)
    with pytest.raises(Conflict):
        await asked(
            backend, protos.DefineMethod(proto="NOTE", method="greet", source=GREET, test=True, arguments="'you'")
        )
    assert backend.protos.get_proto("NOTE").greet("you") == "meanwhile you"


async def test_a_value_that_cannot_be_kept_changes_nothing(backend: Backend) -> None:
    before = backend.protos.get_proto("NOTE").version
    with pytest.raises((CallerError, Unstorable)):
        await asked(backend, protos.SetSlot(proto="NOTE", path=["bad\nname"], text="1"))
    assert backend.protos.get_proto("NOTE").version == before
