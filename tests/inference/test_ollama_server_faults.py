"""The Ollama double held against recordings of several calls at once, and of clients, runners and servers that go away.

What was done there at some moment (a signal, a hang-up) is done here at the same line of the reply; no test waits for
time to pass.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from tests.doubles.ollama.held import agree, agree_on_models, exchange, furnish, parted, sent, words_for
from tests.doubles.ollama.replies import Piece
from tests.doubles.ollama.runners import Options
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.recordings import recording, steps

Answered = tuple[int, list[tuple[str, str]], list[bytes]]


class Pace:
    """Replies of 400 words that stop after the `at`th until `go` is set; `reached` says that one is there."""

    def __init__(self, at: int = 10) -> None:
        self.at = at
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, body: Mapping[str, Any]) -> AsyncIterator[Piece]:
        for number in range(400):
            if number == self.at:
                self.reached.set()
                await self.go.wait()
            yield "content", f" word{number}"


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    double = OllamaServer(max_loaded=1)
    furnish(double)
    double.train_ctx = 4096
    async with double:
        yield double


def resident(server: OllamaServer, name: str = "slow", num_ctx: int = 4096) -> None:
    model = server.library.find(name)
    assert model is not None
    server.runners.put(model, Options(num_ctx))


async def held(server: OllamaServer, step: Mapping[str, Any], *, cold: bool | None = None) -> None:
    """One recorded exchange, now. `cold`: whether it loads its model."""
    server.source = words_for(step)
    before = len(server.runners.loads)
    answer = await exchange(server, step)
    agree(step, *answer, sized=step["request"]["path"] in ("/api/ps", "/api/chat"))
    if step["request"]["path"] == "/api/ps":
        told = step["response"]["lines"][0]["json"]["models"]
        agree_on_models(json.loads(answer[2][0])["models"], told)
    if cold is not None:
        assert (len(server.runners.loads) > before) is cold


def called(server: OllamaServer, step: Mapping[str, Any]) -> asyncio.Task[Answered]:
    return asyncio.create_task(exchange(server, step))


async def opened(server: OllamaServer, step: Mapping[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the step's request has been sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent(server, step))
    await writer.drain()
    return reader, writer


async def until(condition: Callable[[], bool]) -> None:
    """Let the others run until `condition` holds."""
    while not condition():  # noqa: ASYNC110  # what is waited for is not one event
        await asyncio.sleep(0)


async def free(server: OllamaServer) -> None:
    """Wait until no call holds a runner."""
    await until(lambda: not any(runner.calls for runner in server.runners.held))


class TestClientsThatLeave:
    async def test_in_mid_stream(self, server: OllamaServer) -> None:
        """25: the runner is free for the next call, and stays loaded."""
        gone, after, ps = steps("25")
        resident(server)
        server.source = Pace()
        reader, writer = await opened(server, gone)
        await server.source.reached.wait()
        received = await reader.readuntil(b"word9")
        writer.close()
        await server.left.wait()
        status, headers, pieces = parted(received + b'"},"done":false}\n\r\n', cut=True)
        assert (status, [name for name, _ in headers]) == (200, [name for name, _ in gone["response"]["headers"]])
        assert len(pieces) == len(gone["response"]["lines"])
        await free(server)
        await held(server, after, cold=False)
        await held(server, ps)

    async def test_while_the_whole_reply_is_awaited(self, server: OllamaServer) -> None:
        """26."""
        _, after = steps("26")
        resident(server)
        server.source = Pace(2)
        _, writer = await opened(server, after)
        await server.source.reached.wait()
        writer.close()
        await server.left.wait()
        await free(server)
        await held(server, after, cold=False)

    async def test_while_the_model_loads(self, server: OllamaServer) -> None:
        """27: the load is given up, nothing is loaded, and the next call loads anew."""
        _, ps, after = steps("27")
        server.gate = asyncio.Event()
        _, writer = await opened(server, after)
        await server.wait_called("/api/chat")
        await until(lambda: bool(server.runners.loads))
        writer.close()
        await server.left.wait()
        server.gate.set()
        await held(server, ps)
        await held(server, after, cold=True)


class TestRunnersThatDie:
    async def test_in_mid_stream(self, server: OllamaServer) -> None:
        """28: an error as the last line under status 200; /api/ps still lists it; the next call loads."""
        killed, ps, after, ps_after = steps("28")
        resident(server)
        server.source = Pace()
        task = called(server, killed)
        await server.source.reached.wait()
        server.runners.kill()
        server.source.go.set()
        agree(killed, *await task)
        await held(server, ps)
        await held(server, after, cold=True)
        await held(server, ps_after)

    @pytest.mark.parametrize("index", [0, 2, 4])
    async def test_in_every_form(self, server: OllamaServer, index: int) -> None:
        """29: a whole reply becomes HTTP 500, a streamed one ends with the error, by chat and by generate."""
        killed, after = steps("29")[index : index + 2]
        resident(server)
        server.source = Pace()
        task = called(server, killed)
        await server.source.reached.wait()
        server.runners.kill()
        server.source.go.set()
        agree(killed, *await task)
        await held(server, after, cold=True)

    async def test_while_idle(self, server: OllamaServer) -> None:
        """30: listed all the same, and found out by the next call."""
        ps, after, second = steps("30")
        resident(server)
        server.runners.kill()
        await held(server, ps)
        await held(server, after, cold=True)
        await held(server, second, cold=False)

    async def test_while_loading(self, server: OllamaServer) -> None:
        """31."""
        killed, after = steps("31")
        server.gate = asyncio.Event()
        task = called(server, killed)
        await until(lambda: bool(server.runners.loads))
        server.runners.kill()
        agree(killed, *await task)
        server.gate.set()
        await held(server, after, cold=True)

    async def test_that_freeze(self, server: OllamaServer) -> None:
        """32: the call is answered at last, by a new runner."""
        frozen, after = steps("32")
        resident(server)
        server.runners.freeze()
        await held(server, frozen, cold=True)
        await held(server, after, cold=False)


class TestServersThatStop:
    @pytest.mark.parametrize("number", ["33", "34"])
    async def test_in_mid_stream(self, server: OllamaServer, number: str) -> None:
        """33, 34: the stream just stops, and nobody is there any more."""
        step, refused = steps(number)
        resident(server)
        server.source = Pace()
        reader, writer = await opened(server, step)
        await server.source.reached.wait()
        received = await reader.readuntil(b'word9"},"done":false}\n\r\n')
        await server.stop()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        agree(step, *parted(received, cut=True))
        assert refused["connect_error"].startswith("ConnectionRefusedError")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)

    async def test_before_the_first_byte(self, server: OllamaServer) -> None:
        """35."""
        (step,) = steps("35")
        resident(server)
        server.source = Pace()
        reader, writer = await opened(server, step)
        await server.source.reached.wait()
        await server.stop()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


class TestCallsAtOnce:
    async def test_calls_of_the_loaded_model_overtake_one_that_needs_another(self, server: OllamaServer) -> None:
        """16: the third call is answered before the second, which waits for an idle runner to go."""
        first, other, again = steps("16")
        resident(server)
        pace = server.source = Pace()
        tasks = [called(server, first)]
        await pace.reached.wait()
        tasks.append(called(server, other))
        await until(lambda: server.runners.waiting > 0)
        tasks.append(called(server, again))
        await until(lambda: sum(runner.calls for runner in server.runners.held) == 2)
        order: list[int] = []
        for number, task in enumerate(tasks):
            task.add_done_callback(lambda _, number=number: order.append(number))  # type: ignore[misc]
        pace.go.set()
        for task, step in zip(tasks[::2], (first, again), strict=True):
            agree(step, *await task, sized=True)
        server.source = words_for(other)
        (status, _, _) = await tasks[1]
        assert status == other["response"]["status"]
        assert order.index(2) < order.index(1)
        assert server.runners.loads == ["tiny-d:latest"]

    async def test_a_full_queue(self, server: OllamaServer) -> None:
        """36: one waits at the head, one in the queue; the rest are sent away, but not those of the loaded model."""
        recorded = steps("36")
        server.runners.queue = 1
        resident(server)
        pace = server.source = Pace()
        tasks = {0: called(server, recorded[0])}
        await pace.reached.wait()
        for index, waiting in ((1, 1), (2, 2)):
            tasks[index] = called(server, recorded[index])
            await until(lambda waiting=waiting: server.runners.waiting == waiting)  # type: ignore[misc]
        for index in (3, 4, 6):
            agree(recorded[index], *await exchange(server, recorded[index]))
        tasks[5] = called(server, recorded[5])
        await until(lambda: sum(runner.calls for runner in server.runners.held) == 2)
        pace.go.set()
        agree(recorded[0], *await tasks[0])
        agree(recorded[5], *await tasks[5], sized=True)
        server.source = None
        for index in (1, 2):
            status, _, pieces = await tasks[index]
            assert status == recorded[index]["response"]["status"]
            assert list(json.loads(pieces[0])) == list(recorded[index]["response"]["lines"][0]["json"])
        assert server.runners.loads == ["tiny-a:latest", "tiny-b:latest"]

    @pytest.mark.parametrize(("number", "parallel"), [("17", 1), ("54", 2)])
    async def test_calls_of_one_model(self, server: OllamaServer, number: str, parallel: int) -> None:
        """17, 54: OLLAMA_NUM_PARALLEL calls run side by side; one more waits for a slot, not for a load."""
        first, second, *rest = steps(number)
        server.runners.parallel = parallel
        resident(server)
        pace = server.source = Pace()
        begun = 0

        async def counted(body: Mapping[str, Any]) -> AsyncIterator[Piece]:
            nonlocal begun
            begun += 1
            async for piece in pace(body):
                yield piece

        server.source = counted
        tasks = [called(server, first)]
        await pace.reached.wait()
        tasks.append(called(server, second))
        await until(lambda: sum(one.calls for one in server.runners.held) == 2 and begun == parallel)
        assert begun == parallel
        pace.go.set()
        for task, step in zip(tasks, (first, second), strict=True):
            agree(step, *await task)
        for step in rest:
            await held(server, step)
        assert server.runners.loads == []

    async def test_an_unload_waits_for_the_reply(self, server: OllamaServer) -> None:
        """52: it is answered at once, the model is listed till the reply ends, and a deleted one answers on."""
        stream, unload, ps, ps_after, again, delete, after = steps("52")
        server.max_loaded = 3
        for name in ("nat", "nat-raise"):
            resident(server, name, 512)
        pace = server.source = Pace()
        task = called(server, stream)
        await pace.reached.wait()
        await held(server, unload)
        await held(server, ps)
        pace.go.set()
        agree(stream, *await task)
        await free(server)
        await held(server, ps_after)
        pace = server.source = Pace()
        task = called(server, again)
        await pace.reached.wait()
        answer = await exchange(server, delete)
        agree(delete, *answer)
        pace.go.set()
        agree(again, *await task)
        await held(server, after)

    async def test_no_byte_comes_while_a_model_loads(self, server: OllamaServer) -> None:
        """56: and /api/ps does not list it until it is loaded."""
        (step,) = steps("56")
        polled = recording("56")["note"]
        assert "(0.01, []), (4.39, [('slow:latest'" in polled
        server.gate = asyncio.Event()
        server.source = words_for(step)
        reader, writer = await opened(server, step)
        await until(lambda: bool(server.runners.loads))
        first = asyncio.create_task(reader.read())
        assert server.runners.listed() == []
        assert not first.done()
        server.gate.set()
        agree(step, *parted(await first))
        writer.close()
        assert [runner.model.name for runner in server.runners.listed()] == ["slow:latest"]
