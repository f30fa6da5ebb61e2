"""Memory and forgetting in a backend, beside a society that is open and others who ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import BackendBusy, Forgotten, UsageError
from a4ps.governance.roles import Role
from a4ps.governance.taint import UNTRUSTED
from a4ps.image.commands import COMMAND
from a4ps.image.turns import Turn
from a4ps.kernel.backend import Backend
from a4ps.kernel.dispatch import handler_of
from a4ps.kernel.serving import memory as serving
from a4ps.kernel.serving.call import Call
from a4ps.kernel.wiring import environment
from a4ps.memory.documents import TakenIn, take_in
from a4ps.protocol.messages import Failure, Result
from a4ps.protocol.requests import figures, forgetting, memory, turns
from a4ps.protocol.requests.base import Request
from tests.doubles.byte_search import found_in
from tests.doubles.served import served

SECRET = "Rumpelstilz-7734"


@pytest.fixture
async def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backend]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    opened = await Backend.open(environment(str(tmp_path / "home"), {"A4PS_ENGINE": "rehearsal"}), fleeting=True)
    yield opened
    await opened.aclose()


async def asked(
    backend: Backend, request: Request, steps: list[Mapping[str, Any]] | None = None, role: Role = Role.ARCHITECT
) -> Mapping[str, Any]:
    heard = [] if steps is None else steps
    call: Call[Any] = Call(request, "key", role, "test", heard.append)
    return await handler_of(type(request))(backend, call)


async def test_pages_have_every_memory_once_and_in_order(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "PAGE", 2)
    await asked(backend, turns.Ask(text="Tea or coffee in the morning?"))
    await asked(backend, memory.Remember(texts=[f"note {number}" for number in range(5)]))
    request, found, pages = memory.Memories(), [], 0
    while request.kind:
        page = await asked(backend, request)
        found += [each["id"] for each in page["memories"]]
        pages += 1
        if not page["kind"]:
            break
        request = memory.Memories(kind=page["kind"], after=page["after"])
    assert found == ["1", "m1", "m2", "m3", "m4", "m5"]
    assert pages == 4


async def test_a_page_ends_where_its_texts_are_long(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "PAGE_CHARS", 10)
    await asked(backend, memory.Remember(texts=["x" * 20, "y"]))
    first = await asked(backend, memory.Memories(kind="memory"))
    second = await asked(backend, memory.Memories(kind="memory", after=first["after"]))
    assert [[each["id"] for each in page["memories"]] for page in (first, second)] == [["m1"], ["m2"]]
    assert (first["kind"], second["kind"]) == ("memory", "")


async def test_what_may_be_anybodys_is_marked_so(backend: Backend) -> None:
    await asked(backend, memory.Remember(texts=["typed", "piped"], untrusted=[1]))
    assert [UNTRUSTED in backend.records.get(id_).taint for id_ in ("m1", "m2")] == [False, True]
    with pytest.raises(UsageError, match="nothing to remember"):
        await asked(backend, memory.Remember(texts=["fine", "  "]))
    assert backend.records.find("m3") is None


async def test_it_is_searched_without_a_society_and_a_guest_may(backend: Backend) -> None:
    await asked(backend, memory.Remember(texts=["The key is under the blue mat"]))
    found = await asked(backend, memory.Search(query="Where is the key, under a mat?"), role=Role.GUEST)
    assert [each["id"] for each in found["results"]] == ["m1"]
    assert backend.opened is None


async def test_a_file_that_two_commands_read_at_once_is_remembered_once(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "lease.md"
    file.write_text("The deposit is three monthly rents.")
    both = await asyncio.gather(*(asked(backend, memory.ReadIn(files=[str(file)])) for _ in range(2)))
    assert sorted(each["documents"][0]["state"] for each in both) == ["added", "unchanged"]
    assert backend.records.count() == 1


async def test_reading_in_that_is_stopped_ends_and_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after its first part, which is durable, in a file that would never come to its end."""
    file = tmp_path / "long.txt"
    file.write_text("\n\n".join(f"{number} {'word ' * 120}" for number in range(3)))
    monkeypatch.setattr("a4ps.memory.documents.PARTS_AT_ONCE", 1)

    loop, begun, told = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def endless(*given: Any) -> Iterator[tuple[int, int] | TakenIn]:
        first = next(take_in(*given))
        loop.call_soon_threadsafe(begun.set)
        told.wait()  # a client who is told more than its socket holds would miss the outcome
        while True:
            yield first

    async with served(tmp_path) as here:
        peer = await here.greeted()
        command = {"do": "read_in", "files": [str(file)]}
        with monkeypatch.context() as patch:
            patch.setattr(serving, "take_in", endless)
            stopped = asyncio.create_task(peer.done(command, key="k" * 12))
            await begun.wait()
            here.server._tasks["k" * 12].cancel()
            told.set()
            assert isinstance(await stopped, Failure)
        again = await peer.done(command)
        assert isinstance(again, Result)
        (document,) = again.value["documents"]
        assert (document["state"], document["parts"], document["new"]) == ("resumed", 3, 2)


async def test_a_forgotten_turn_is_open_to_nobody_and_the_society_opens_again(backend: Backend, tmp_path: Path) -> None:
    await asked(backend, turns.Ask(text="hello"))
    now = backend.store.clock.now()
    await backend.log.accept(Turn("", f"My PIN is {SECRET}, is that safe?", now, "rehearsal", {}, {}))
    before = await backend.kernel()
    plan = await asked(backend, forgetting.PlanForgetting(text=SECRET))
    assert [place["relation"] for place in plan["places"]] == ["holds", "named"]
    assert found_in(tmp_path, SECRET)
    done = await asked(backend, forgetting.Forget(text=SECRET))
    assert done == {"forgotten": True}
    assert found_in(tmp_path, SECRET) == []
    assert backend.log.open_ids == ()
    assert await backend.kernel() is not before
    assert (await asked(backend, turns.CutOff()))["turns"] == []
    with pytest.raises(Forgotten):
        await asked(backend, turns.Turn(turn="2"))
    assert (await asked(backend, turns.Ask(text="hello again")))["turn_id"] == "3"


async def test_nothing_is_forgotten_under_a_turn(backend: Backend) -> None:
    await asked(backend, turns.Ask(text=f"My PIN is {SECRET}, is that safe?"))
    kernel = await backend.kernel()
    generation = backend.store.generation
    for request in (forgetting.PlanForgetting(thing="1"), forgetting.Forget(thing="1"), forgetting.FinishForgetting()):
        async with kernel._turn:
            with pytest.raises(BackendBusy):
                await asked(backend, request)
    assert backend.store.generation == generation
    assert backend.opened is kernel


async def test_a_backend_that_logs_all_that_goes_on_leaves_no_word_in_its_log(tmp_path: Path) -> None:
    """The command that forgets is in the image by its key alone, which is the client's and no word."""
    async with served(tmp_path) as here:
        peer = await here.greeted()
        await peer.done({"do": "remember", "texts": [f"PIN {SECRET}"]})
        request = {"do": "forget", "text": SECRET}
        assert (await peer.done(request, key="k" * 12)).value == {"forgotten": True}
        assert here.backend.store.head(COMMAND, "k" * 12) is not None
        assert (await peer.done(request, key="k" * 12)).value == {"forgotten": True}
        assert found_in(tmp_path, SECRET) == []


async def test_what_is_to_be_forgotten_is_named_in_one_way(backend: Backend) -> None:
    for wanted in (forgetting.Forget(), forgetting.Forget(thing="1", text="PIN")):
        with pytest.raises(UsageError, match="not both"):
            await asked(backend, wanted)


async def test_nobody_but_the_four_is_probed(backend: Backend) -> None:
    with pytest.raises(UsageError, match="no persona BATMAN"):
        await asked(backend, figures.Drift(personas=["BATMAN"]))
