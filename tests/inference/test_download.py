"""A model is fetched over a network that cuts, from servers that lie: whole and checked, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import stat
import threading
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import (
    DiskFull,
    DownloadFailed,
    DownloadHeld,
    ModelFileBad,
    ModelUnexamined,
    UsageError,
)
from a4ps.inference.download import RESERVE_BYTES, Surroundings, in_thread, pull
from a4ps.inference.engine import PullProgress
from a4ps.inference.examiner import examine
from a4ps.inference.local_models import find_model, list_models, read_record, verify
from a4ps.inference.model_source import parse_source
from tests.doubles.file_server import FileServer, Reply, file_server
from tests.doubles.gguf_file import Tensor, gguf, model

#: Several blocks of a download, so that reports come in between.
CONTENT = gguf({"general.architecture": "x"}, [Tensor("t", (1024, 1024))])
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATIENT = partial(examine, deadline_s=60)  # the machine may be busy with other tests
AROUND = Surroundings(free_bytes=lambda folder: 10**12, examine=PATIENT, pauses_s=(0, 0, 0))


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as served:
        yield served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "models"


async def fetch(
    server: FileServer, folder: Path, fragment: str = "", around: Surroundings = AROUND, name: str = "tiny.gguf"
) -> list[PullProgress]:
    source = parse_source(f"{server.url}/{name}{fragment}", "")
    return [progress async for progress in pull(source, folder, around)]


def part(folder: Path) -> bytes:
    return (folder / "tiny.gguf.part").read_bytes()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_placed(folder: Path, content: bytes = CONTENT) -> bool:
    return (folder / "tiny.gguf").read_bytes() == content and names(folder) == {"tiny.gguf", "tiny.gguf.json"}


async def test_a_model_is_fetched_checked_and_placed(server: FileServer, folder: Path) -> None:
    seen = await fetch(server, folder)
    assert is_placed(folder)
    assert (mode(folder / "tiny.gguf"), mode(folder)) == (0o600, 0o700)
    assert [entry.status for entry in seen if entry.status != "downloading"] == [
        "asking 127.0.0.1",
        "checking",
        "examining",
        "success",
    ]
    counts = [entry.completed_bytes for entry in seen]
    assert counts == sorted(counts)
    assert len(counts) > 6
    assert (seen[-1].completed_bytes, seen[-1].total_bytes) == (len(CONTENT), len(CONTENT))
    (found,) = list_models(folder)
    assert found.record is not None
    assert (found.name, found.size_bytes, found.record.sha256) == ("tiny", len(CONTENT), SHA256)
    assert found.record.source == f"{server.url}/tiny.gguf"
    assert verify(found) == SHA256


async def test_a_file_of_the_hub_is_asked_where_the_hub_keeps_it(server: FileServer, folder: Path) -> None:
    """Its redirect tells size and sha256; what it leads to has another tag, which serves for resuming."""
    linked = {"X-Linked-Etag": f'"{SHA256}"', "X-Linked-Size": str(len(CONTENT)), "Location": "/cdn/abc?sig=x"}
    server.script.append(Reply(302, {**linked, "Content-Length": "0"}))
    source = parse_source("hf:some-one/Tiny_GGUF/sub/tiny.gguf", hub=server.url)
    assert [progress async for progress in pull(source, folder, AROUND)][-1].status == "success"
    assert [asked.path for asked in server.asked] == [
        "/some-one/Tiny_GGUF/resolve/main/sub/tiny.gguf",
        "/cdn/abc?sig=x",
    ]
    record = read_record(folder / "tiny.gguf")
    assert record is not None
    assert record.source == "hf:some-one/Tiny_GGUF/sub/tiny.gguf"
    assert is_placed(folder)


async def test_a_cut_connection_is_resumed_where_it_was_cut(server: FileServer, folder: Path) -> None:
    server.script.extend([server.whole(2_500_000), None])
    seen = await fetch(server, folder)
    assert is_placed(folder)
    assert server.asked[1].headers["range"] == "bytes=2500000-"
    assert server.asked[1].headers["if-range"] == '"one"'
    assert "the connection was cut; going on" in {entry.status for entry in seen}


async def test_after_too_many_cuts_the_part_stays_for_another_call(server: FileServer, folder: Path) -> None:
    server.script.append(server.whole(1000))
    server.script.extend(Reply(206, server.rest(at).headers, CONTENT[at:], 1000) for at in (1000, 2000, 3000))
    with pytest.raises(DownloadFailed, match="are kept") as caught:
        await fetch(server, folder)
    assert "goes on where it stopped" in caught.value.next_step
    assert part(folder) == CONTENT[:4000]
    assert not list_models(folder)
    await fetch(server, folder)
    assert server.asked[-1].headers["range"] == "bytes=4000-"
    assert is_placed(folder)


async def test_a_cancelled_download_leaves_a_part_that_can_be_resumed(server: FileServer, folder: Path) -> None:
    server.script.append(server.whole(3_000_000, held=True))
    reached = asyncio.Event()

    async def run() -> None:
        async with aclosing(pull(parse_source(f"{server.url}/tiny.gguf", ""), folder, AROUND)) as reports:
            async for progress in reports:
                if progress.completed_bytes >= 2**20:
                    reached.set()

    task = asyncio.create_task(run())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kept = part(folder)
    assert kept
    assert kept == CONTENT[: len(kept)]
    await fetch(server, folder)
    assert server.asked[-1].headers["range"] == f"bytes={len(kept)}-"
    assert is_placed(folder)


async def test_a_cancelled_write_has_ended_when_its_call_has() -> None:
    """Else the part would be closed under the thread that still writes to it."""
    begun, go_on, written = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def write() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait()
        written.append(True)

    task = asyncio.create_task(in_thread(write))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task], timeout=0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert written


async def test_a_caller_that_stops_listening_leaves_a_part_too(server: FileServer, folder: Path) -> None:
    async with aclosing(pull(parse_source(f"{server.url}/tiny.gguf", ""), folder, AROUND)) as reports:
        async for progress in reports:
            if progress.completed_bytes:
                break
    assert 2**20 <= len(part(folder)) < len(CONTENT)
    await fetch(server, folder)
    assert is_placed(folder)


async def test_a_server_without_ranges_is_asked_from_the_beginning(server: FileServer, folder: Path) -> None:
    server.ranges = False
    server.script.append(server.whole(2_000_000))
    await fetch(server, folder)
    assert is_placed(folder)


async def test_without_a_strong_tag_nothing_is_resumed(server: FileServer, folder: Path) -> None:
    for tag in ("", 'W/"weak"'):
        server.etag = tag
        server.script.append(server.whole(2_000_000))
        await fetch(server, folder)
        assert "range" not in server.asked[-1].headers
        assert is_placed(folder)
        (folder / "tiny.gguf").unlink()


async def test_a_file_that_changed_meanwhile_is_fetched_anew(server: FileServer, folder: Path) -> None:
    server.script.append(server.whole(2_000_000))
    async with aclosing(pull(parse_source(f"{server.url}/tiny.gguf", ""), folder, AROUND)) as reports:
        async for progress in reports:
            if "cut" in progress.status:
                server.content, server.etag = model(), '"two"'
    assert is_placed(folder, model())


@pytest.mark.parametrize(
    "lie",
    [
        {"ETag": '"two"'},
        {"Content_Range": "bytes 7-9/10"},
        {"Content_Range": "bytes 0-4194399/4194400"},
        {"Content_Range": f"bytes 2000000-{len(CONTENT) - 1}/{len(CONTENT) + 5}"},
        {"Content_Range": "none"},
    ],
)
async def test_a_part_that_does_not_continue_what_is_there_is_not_appended(
    server: FileServer, folder: Path, lie: dict[str, str]
) -> None:
    server.script.extend([server.whole(2_000_000), server.rest(2_000_000, **lie)])
    seen = await fetch(server, folder)
    assert is_placed(folder)
    assert any(entry.status.startswith("beginning anew") for entry in seen)


async def test_a_416_begins_anew(server: FileServer, folder: Path) -> None:
    server.script.extend([server.whole(2_000_000), Reply(416, {"Content-Length": "0"})])
    await fetch(server, folder)
    assert is_placed(folder)


async def test_a_server_that_never_has_the_same_file_is_given_up(server: FileServer, folder: Path) -> None:
    for number in range(9):
        server.script.extend([server.whole(2_000_000, ETag=f'"{number}"'), server.rest(2_000_000, ETag='"other"')])
    with pytest.raises(DownloadFailed, match="another file"):
        await fetch(server, folder)
    assert len(server.asked) < 9


async def test_a_server_that_sends_more_than_it_announced_is_stopped(server: FileServer, folder: Path) -> None:
    server.script.append(server.chunked(X_Linked_Size="3000000"))
    with pytest.raises(ModelFileBad, match="more than the 3000000 bytes"):
        await fetch(server, folder)
    assert names(folder) == set()


async def test_a_server_that_contradicts_itself_is_not_read(server: FileServer, folder: Path) -> None:
    server.script.append(server.whole(X_Linked_Size="3000000"))
    with pytest.raises(DownloadFailed, match=f"announces 3000000 bytes and would send {len(CONTENT)}"):
        await fetch(server, folder)


async def test_a_server_that_announces_more_than_it_has_is_given_up(server: FileServer, folder: Path) -> None:
    server.ranges = False
    server.script.extend([server.whole(Content_Length=str(len(CONTENT) + 10))] * 9)
    with pytest.raises(DownloadFailed):
        await fetch(server, folder, around=replace(AROUND, pauses_s=()))
    assert not list_models(folder)


async def test_a_file_of_unknown_length_is_fetched(server: FileServer, folder: Path) -> None:
    server.script.append(server.chunked())
    seen = await fetch(server, folder)
    assert {entry.total_bytes for entry in seen} == {0}
    assert is_placed(folder)


async def test_a_given_hash_is_checked(server: FileServer, folder: Path) -> None:
    with pytest.raises(ModelFileBad, match=r"its sha256 is .*; it was removed"):
        await fetch(server, folder, f"#sha256={'0' * 64}")
    assert names(folder) == set()
    await fetch(server, folder, f"#sha256={SHA256.upper()}")
    assert is_placed(folder)


async def test_the_servers_own_hash_is_checked(server: FileServer, folder: Path) -> None:
    other = f'"{"1" * 64}"'
    for reply in (server.whole(ETag=other), server.whole(X_Linked_Etag=other)):
        server.script.append(reply)
        with pytest.raises(ModelFileBad, match="its sha256"):
            await fetch(server, folder)
        assert names(folder) == set()


async def test_nothing_is_fetched_where_the_server_announces_another_hash(server: FileServer, folder: Path) -> None:
    server.script.append(server.whole(ETag=f'"{"1" * 64}"'))
    with pytest.raises(ModelFileBad, match="nothing was fetched"):
        await fetch(server, folder, f"#sha256={SHA256}")
    assert names(folder) == set()


@pytest.mark.parametrize(
    ("status", "said", "asked"),
    [(404, "has no", 1), (401, "log in", 1), (403, "accepted its terms", 1), (400, "HTTP 400", 1), (503, "busy", 4)],
)
async def test_what_a_server_refuses_is_explained(
    server: FileServer, folder: Path, status: int, said: str, asked: int
) -> None:
    server.script.extend([Reply(status, {"Content-Length": "0"})] * 9)
    with pytest.raises(DownloadFailed, match=said) as caught:
        await fetch(server, folder)
    assert caught.value.status == (status if status < 500 else 0)
    assert caught.value.next_step
    assert len(server.asked) == asked
    assert names(folder) == set()


async def test_a_part_that_was_not_asked_for_is_refused(server: FileServer, folder: Path) -> None:
    server.script.append(server.rest(100))
    with pytest.raises(DownloadFailed, match="HTTP 206"):
        await fetch(server, folder)


async def test_a_packed_file_is_refused(server: FileServer, folder: Path) -> None:
    server.script.append(server.whole(Content_Encoding="gzip"))
    with pytest.raises(DownloadFailed, match="packed"):
        await fetch(server, folder)


async def test_redirects_are_bounded(server: FileServer, folder: Path) -> None:
    server.script.extend([Reply(302, {"Location": "/again", "Content-Length": "0"})] * 20)
    with pytest.raises(DownloadFailed, match="from one address to the next"):
        await fetch(server, folder)
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    "to",
    ["http://example.invalid/x.gguf", "ftp://127.0.0.1/x", "file:///etc/passwd", "https://u:p@x.invalid/", "http://["],
)
async def test_a_redirect_to_an_address_that_is_not_used_is_refused(server: FileServer, folder: Path, to: str) -> None:
    server.script.append(Reply(302, {"Location": to, "Content-Length": "0"}))
    with pytest.raises(DownloadFailed, match="not used"):
        await fetch(server, folder)
    assert len(server.asked) == 1


async def test_nobody_listening_is_a_download_that_failed(folder: Path) -> None:
    with file_server(b"") as gone:
        url = gone.url
    with pytest.raises(DownloadFailed, match="could not be fetched from 127"):
        async for _ in pull(parse_source(f"{url}/tiny.gguf", ""), folder, AROUND):
            pass


async def test_space_is_asked_for_before_a_byte_is_written(server: FileServer, folder: Path) -> None:
    around = replace(AROUND, free_bytes=lambda _: RESERVE_BYTES + len(CONTENT) - 1)
    with pytest.raises(DiskFull, match="are needed"):
        await fetch(server, folder, around=around)
    assert names(folder) == set()
    around = replace(AROUND, free_bytes=lambda _: RESERVE_BYTES + len(CONTENT))
    await fetch(server, folder, around=around)
    assert is_placed(folder)


async def test_only_the_rest_needs_space_when_a_download_goes_on(server: FileServer, folder: Path) -> None:
    server.script.extend([server.whole(4_000_000), Reply(500)])
    with pytest.raises(DownloadFailed):
        await fetch(server, folder, around=replace(AROUND, pauses_s=()))
    rest = len(CONTENT) - 4_000_000
    await fetch(server, folder, around=replace(AROUND, free_bytes=lambda _: RESERVE_BYTES + rest))
    assert is_placed(folder)


async def test_a_file_of_unknown_length_cannot_fill_the_disk(server: FileServer, folder: Path) -> None:
    server.script.append(server.chunked())
    left = iter([RESERVE_BYTES + 1, RESERVE_BYTES + 1, RESERVE_BYTES - 1])
    with pytest.raises(DiskFull):
        await fetch(server, folder, around=replace(AROUND, free_bytes=lambda _: next(left)))
    assert len(part(folder)) < len(CONTENT)


async def test_what_is_no_model_is_removed(folder: Path) -> None:
    said = r"is no GGUF file.*; it was removed"
    with file_server(b"<html>Please log in</html>" * 50) as server, pytest.raises(ModelFileBad, match=said):
        await fetch(server, folder)
    assert names(folder) == set()


async def test_one_part_of_a_split_model_is_refused(folder: Path) -> None:
    with file_server(model(**{"split.count": 3})) as server, pytest.raises(ModelFileBad, match="one of 3 parts"):
        await fetch(server, folder)


async def test_a_file_that_could_not_be_examined_is_kept_and_only_examined_again(
    server: FileServer, folder: Path
) -> None:
    async def too_slow(path: Path) -> Any:
        raise ModelUnexamined("that took longer", next_step="try again")

    with pytest.raises(ModelUnexamined):
        await fetch(server, folder, around=replace(AROUND, examine=too_slow))
    assert not list_models(folder)
    await fetch(server, folder)
    assert len(server.asked) == 1
    assert is_placed(folder)


async def test_of_two_downloads_of_one_file_the_second_is_told(server: FileServer, folder: Path) -> None:
    async with aclosing(pull(parse_source(f"{server.url}/tiny.gguf", ""), folder, AROUND)) as first:
        while not (await anext(first)).completed_bytes:
            pass
        with pytest.raises(DownloadHeld, match=r"tiny\.gguf is being fetched already"):
            await fetch(server, folder)
        assert [progress async for progress in first][-1].status == "success"
    assert is_placed(folder)


async def test_two_files_are_fetched_at_once(server: FileServer, folder: Path) -> None:
    await asyncio.gather(*(fetch(server, folder, name=f"{name}.gguf") for name in "abcd"))
    assert [found.name for found in list_models(folder)] == ["a", "b", "c", "d"]


async def test_what_is_there_is_not_fetched_again(server: FileServer, folder: Path) -> None:
    await fetch(server, folder)
    assert [entry.status for entry in await fetch(server, folder, f"#sha256={SHA256}")] == ["success"]
    assert len(server.asked) == 1
    assert is_placed(folder)


async def test_a_file_from_elsewhere_is_not_replaced(server: FileServer, folder: Path) -> None:
    await fetch(server, folder)
    with pytest.raises(UsageError, match="is there already, from"):
        await fetch(server, folder, name="other/tiny.gguf")
    with pytest.raises(UsageError, match="is there already, from"):
        await fetch(server, folder, f"#sha256={'2' * 64}")
    (folder / "tiny.gguf.json").unlink()
    with pytest.raises(UsageError, match="not fetched by A4PS"):
        await fetch(server, folder)
    assert (folder / "tiny.gguf").read_bytes() == CONTENT


async def test_a_proxy_is_not_asked_for_this_machine(
    server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await fetch(server, folder)
    assert is_placed(folder)


async def test_the_placed_file_is_the_one_that_was_examined(server: FileServer, folder: Path) -> None:
    examined: list[bytes] = []

    async def watched(path: Path) -> Any:
        examined.append(path.read_bytes())  # noqa: ASYNC240
        return await PATIENT(path)

    await fetch(server, folder, around=replace(AROUND, examine=watched))
    assert examined == [CONTENT]
    assert find_model(folder, "tiny").path.read_bytes() == CONTENT
