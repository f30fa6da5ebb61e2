"""Fetches a model file: asked for, resumed, checked, examined, and only then put among the models.

    ask → (redirects) → 200 or 206 → append to FILE.part → size → sha256 → examine in a child → FILE

Cut, cancelled or out of space, the part stays and the same call goes on from it, if the server still has the same file
(If-Range, and what it says of size and hash). A file of a wrong size or hash, or that is no model, is removed, and the
error says so. Nothing is contacted but the address that was given and those it leads to: at most five, https only. There
is no account and no token: a model behind a login is fetched by its user.

Headers of the hub: `X-Linked-Etag` and `X-Linked-Size` of its redirect are sha256 and size of the file that it leads to
(huggingface_hub's constants.py and file_download.py).
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import urljoin, urlsplit

from a4ps.errors import DownloadFailed, ModelFileBad, ModelUnexamined, UsageError
from a4ps.inference.engine import PullProgress
from a4ps.inference.examined import Examined
from a4ps.inference.examiner import examine
from a4ps.inference.local_models import Record, read_record
from a4ps.inference.model_source import Source, check_address
from a4ps.inference.part_file import PartFile, Whole, disk_full

if TYPE_CHECKING:
    import httpx

P = ParamSpec("P")
T = TypeVar("T")

MAX_REDIRECTS = 5
#: Bytes between two writes, and two reports.
BLOCK_BYTES = 2**20
#: Left free on the disk, for the image and everything else that lives there.
RESERVE_BYTES = 256 * 2**20
CONNECT_S = 10.0
SILENCE_S = 60.0
#: Waited before each new try after one that brought nothing.
PAUSES_S = (0.5, 2.0, 5.0)
#: How often a download begins anew because the server has another file than the one that was begun.
MAX_RESTARTS = 2
NOTHING_KNOWN = Whole(url="", validator="", total_bytes=0, sha256="")


def free_bytes(folder: Path) -> int:
    """What the disk under `folder` has left; the folder itself may not be there yet."""
    return shutil.disk_usage(next(above for above in (folder, *folder.parents) if above.exists())).free


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a download asks of its machine; tests give their own."""

    free_bytes: Callable[[Path], int] = free_bytes
    examine: Callable[[Path], Awaitable[Examined]] = examine
    pauses_s: tuple[float, ...] = PAUSES_S


async def pull(
    source: Source, folder: Path, surroundings: Surroundings | None = None
) -> AsyncGenerator[PullProgress, None]:
    """Fetch `source` into `folder`. The last report has the status "success"; then the file is there, durable and examined.

    Raises `DownloadFailed` (the server), `ModelFileBad` (the file, which is removed), `ModelUnexamined`, `DiskFull` and
    `WorldError` (the machine; the part is kept), `DownloadHeld` where another call fetches the same file, `UsageError`
    where a file of that name came from elsewhere. Closed or cancelled, the part stays for the next call.
    """
    target = folder / source.file_name
    download = _Download(source, surroundings or Surroundings(), PartFile(target))
    try:
        if target.exists():  # asked under the lock: another download may have placed it just now
            download.part.discard()
            yield _already(source, target)
            return
        async with aclosing(download.run()) as reports:
            async for progress in reports:
                yield progress
    finally:
        await in_thread(download.part.close)


def _already(source: Source, target: Path) -> PullProgress:
    record = read_record(target)
    if record is None or record.source != source.name or source.sha256 not in ("", record.sha256):
        whence = f"from {record.source} (sha256 {record.sha256})" if record else "not fetched by A4PS"
        raise UsageError(f"{target} is there already, {whence}", next_step=f"to fetch the other one: rm {target}")
    return PullProgress("success", record.size_bytes, record.size_bytes)


class _Cut(Exception):
    """The connection ended too soon, or the server is busy: worth another try. The text says what happened."""


class _Changed(Exception):
    """What is there is not the beginning of what the server has now: worth a new beginning."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response that has a body to read: `start` is where in the file it begins."""

    response: httpx.Response
    start: int
    whole: Whole


class _Download:
    """One call of `pull`, with its part."""

    def __init__(self, source: Source, surroundings: Surroundings, part: PartFile) -> None:
        self._source = source
        self._around = surroundings
        self.part = part
        self._is_fetched = False

    async def run(self) -> AsyncGenerator[PullProgress, None]:
        """Everything from the first question to the placed file. The part stays open where this raises."""
        while await in_thread(self.part.hash_more):
            yield self._progress("reading what is there")
        if not self._is_whole():
            yield self._progress(f"asking {self._host()}")
            async with aclosing(self._fetch_all()) as reports:
                async for progress in reports:
                    yield progress
        yield self._progress("checking")
        digest = await self._check_hash()
        yield self._progress("examining")
        await self._examine()
        record = Record(source=self._source.name, sha256=digest, size_bytes=self.part.size_bytes)
        await in_thread(self.part.place, record)
        yield self._progress("success")

    def _is_whole(self) -> bool:
        whole = self.part.whole
        return (
            whole is not None
            and whole.url == self._source.url
            and 0 < whole.total_bytes == self.part.size_bytes
            and self._source.sha256 in ("", whole.sha256)
        )

    async def _fetch_all(self) -> AsyncGenerator[PullProgress, None]:
        import httpx

        async with httpx.AsyncClient(
            # A proxy of the environment is the user's wish, but never the way to this machine itself.
            trust_env=not self._source.is_local,
            timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S),
            headers={"User-Agent": "a4ps", "Accept-Encoding": "identity"},
        ) as client:
            failures = restarts = 0
            while not self._is_fetched:
                had = self.part.size_bytes
                try:
                    async with aclosing(self._fetch_some(client)) as reports:
                        async for progress in reports:
                            yield progress
                except _Changed as change:
                    restarts += 1
                    if restarts > MAX_RESTARTS:
                        raise self._gave_up(change) from change
                    await in_thread(self.part.restart, NOTHING_KNOWN)
                    yield self._progress(f"beginning anew: {change}")
                except (_Cut, httpx.TransportError) as cut:
                    failures = 0 if self.part.size_bytes - had >= BLOCK_BYTES else failures + 1
                    if failures > len(self._around.pauses_s):
                        raise self._gave_up(cut) from cut
                    yield self._progress("the connection was cut; going on")
                    await asyncio.sleep(self._around.pauses_s[failures - 1] if failures else 0)

    async def _fetch_some(self, client: httpx.AsyncClient) -> AsyncGenerator[PullProgress, None]:
        """One request and what it brings. Raises `_Cut`, `_Changed`, or what ends the download."""
        async with self._ask(client) as answer:
            if answer.start == 0:
                await in_thread(self.part.restart, answer.whole)
            total = answer.whole.total_bytes
            self._check_space(total - self.part.size_bytes if total else 0)
            yield self._progress("downloading")
            pending = bytearray()
            try:
                async for chunk in answer.response.aiter_raw():
                    pending += chunk
                    if total and self.part.size_bytes + len(pending) > total:
                        pending.clear()
                        raise await self._discarded(f"sent more than the {total} bytes that it had announced")
                    if len(pending) >= BLOCK_BYTES:
                        await self._append(pending)
                        if not total:
                            self._check_space(0)
                        yield self._progress("downloading")
            finally:
                await self._append(pending)
            if total and self.part.size_bytes < total:
                raise _Cut(f"it ended after {self.part.size_bytes} of {total} bytes")
            self._is_fetched = True

    async def _append(self, pending: bytearray) -> None:
        if pending:
            data = bytes(pending)
            pending.clear()
            await in_thread(self.part.append, data)

    @asynccontextmanager
    async def _ask(self, client: httpx.AsyncClient) -> AsyncIterator[_Answer]:
        """The answer to one request, redirects followed, checked against what is there. See `_fetch_some`."""
        import httpx

        headers = self._range_headers()
        url = self._source.url
        linked: dict[str, str] = {}
        for _ in range(MAX_REDIRECTS + 1):
            async with AsyncExitStack() as stack:
                try:
                    response = await stack.enter_async_context(client.stream("GET", url, headers=headers))
                except httpx.InvalidURL as error:
                    raise self._misled(str(error)) from error
                for name in ("x-linked-etag", "x-linked-size"):
                    if name in response.headers:
                        linked.setdefault(name, response.headers[name])
                if response.has_redirect_location:
                    url = self._next_address(url, response.headers["location"])
                    continue
                yield self._judge(response, headers, linked)
                return
        raise DownloadFailed(
            f"{self._host()} leads from one address to the next, {MAX_REDIRECTS} times", next_step="check the address"
        )

    def _range_headers(self) -> dict[str, str]:
        whole = self.part.whole
        if not self.part.size_bytes or whole is None or whole.url != self._source.url or not whole.validator:
            return {}
        return {"Range": f"bytes={self.part.size_bytes}-", "If-Range": whole.validator}

    def _next_address(self, url: str, location: str) -> str:
        """Where a redirect leads, if it may be asked."""
        try:
            following = urljoin(url, location)
            check_address(following, local=self._source.is_local)
        except (ValueError, UsageError) as error:
            raise self._misled(str(error)) from error
        return following

    def _misled(self, why: str) -> DownloadFailed:
        return DownloadFailed(
            f"{self._host()} leads to an address that is not used: {why}", next_step="check the address"
        )

    def _judge(self, response: httpx.Response, sent: Mapping[str, str], linked: Mapping[str, str]) -> _Answer:
        """What a final response means for the part."""
        if response.status_code == 416 and sent:
            raise _Changed("there is nothing after what was fetched")
        if response.status_code not in (200, 206) or (response.status_code == 206 and not sent):
            raise self._refusal(response.status_code)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise DownloadFailed(
                f"{self._host()} sends the file packed, which was not asked for", next_step="try another address"
            )
        start, total = _extent(response)
        size = _digits(linked.get("x-linked-size", ""))
        if size and total and size != total:
            raise DownloadFailed(
                f"{self._host()} announces {size} bytes and would send {total}", next_step="try again later"
            )
        whole = Whole(
            url=self._source.url,
            validator=_validator(response.headers),
            total_bytes=size or total,
            sha256=self._wanted_hash(linked.get("x-linked-etag"), response.headers.get("etag")),
        )
        if start and (start != self.part.size_bytes or whole != self.part.whole):
            raise _Changed("the server has another file now")
        return _Answer(response, start, whole)

    def _wanted_hash(self, *tags: str | None) -> str:
        """The sha256 that the file must have, "" unknown. The user's word and the server's must agree."""
        stated = next((digest for tag in tags if (digest := _digest(tag))), "")
        wanted = self._source.sha256
        if wanted and stated and wanted != stated:
            raise ModelFileBad(
                f"{self._source.name} has the sha256 {stated}, not {wanted}; nothing was fetched",
                next_step="check the hash with whoever gave it to you",
            )
        return wanted or stated

    def _refusal(self, status: int) -> Exception:
        name = self._source.name
        if status in (401, 403):
            return DownloadFailed(
                f"{self._host()} gives {name} only to those who log in or have accepted its terms (HTTP {status})",
                status=status,
                next_step=f"fetch it with your browser and put it into {self.part.target.parent}",
            )
        if status in (404, 410):
            return DownloadFailed(f"{self._host()} has no {name}", status=status, next_step="check its name")
        if status in (408, 425, 429) or status >= 500:
            return _Cut(f"{self._host()} is busy or broken (HTTP {status})")
        return DownloadFailed(
            f"{self._host()} did not give {name} (HTTP {status})", status=status, next_step="check the address"
        )

    def _check_space(self, wanted: int) -> None:
        folder = self.part.target.parent
        free = self._around.free_bytes(folder)
        if wanted + RESERVE_BYTES > free:
            raise disk_full(folder, wanted + RESERVE_BYTES, free)

    async def _check_hash(self) -> str:
        digest = self.part.sha256()
        wanted = self._source.sha256 or (self.part.whole.sha256 if self.part.whole else "")
        if wanted and digest != wanted:
            raise await self._discarded(f"is not the file that it should be: its sha256 is {digest}, not {wanted}")
        return digest

    async def _examine(self) -> None:
        try:
            examined = await self._around.examine(self.part.path)
        except ModelUnexamined:
            raise  # the part stays whole: the next call examines it again
        except ModelFileBad as error:
            raise await self._discarded(f"is no model: {error.message}") from error
        if examined.parts > 1:
            raise await self._discarded(f"is one of {examined.parts} parts of a model, which are of no use alone")

    async def _discarded(self, why: str) -> ModelFileBad:
        await in_thread(self.part.discard)
        return ModelFileBad(f"{self._source.name} {why}; it was removed", next_step="try again, or another source")

    def _gave_up(self, error: Exception) -> DownloadFailed:
        kept = f"; {self.part.size_bytes / 1e6:.1f} MB of it are kept" if self.part.size_bytes else ""
        said = str(error) or type(error).__name__
        return DownloadFailed(
            f"{self._source.name} could not be fetched from {self._host()}: {said}{kept}",
            next_step="check the network and run the same command again; it goes on where it stopped",
        )

    def _progress(self, status: str) -> PullProgress:
        total = self.part.whole.total_bytes if self.part.whole else 0
        return PullProgress(status, self.part.size_bytes, total)

    def _host(self) -> str:
        return urlsplit(self._source.url).hostname or ""


def _extent(response: httpx.Response) -> tuple[int, int]:
    """Where the body begins in the file, and the file's size, 0 where it was not told. Raises `_Changed` for nonsense."""
    if response.status_code == 200:
        return 0, _digits(response.headers.get("content-length", ""))
    match = re.fullmatch(
        r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", response.headers.get("content-range", "").strip()
    )
    if match is None or int(match[1]) == 0:
        raise _Changed("the server answered with a part that was not asked for")
    return int(match[1]), _digits(match[3])


def _digits(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else 0


def _digest(tag: str | None) -> str:
    """The sha256 that an entity tag is on the hub, "" for any other tag."""
    match = re.fullmatch(r'"?([0-9a-f]{64})"?', tag or "")
    return match[1] if match else ""


def _validator(headers: Mapping[str, str]) -> str:
    """What If-Range may hold (RFC 9110, 13.1.5): a strong tag. A date would not tell two files of one second apart."""
    tag = headers.get("etag", "")
    return tag if re.fullmatch(r'"[^"]{1,200}"', tag) else ""


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`asyncio.to_thread`, but a cancelled call waits for its thread: nothing writes after this returned."""
    work: asyncio.Future[Any] = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        result: T = await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
    return result
