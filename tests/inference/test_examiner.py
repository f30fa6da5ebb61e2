"""A model file is examined in a child that is limited: whatever the file, the backend gets a value or an error, soon."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from a4ps.errors import ModelFileBad, ModelUnexamined, WorldError
from a4ps.inference import examiner
from a4ps.inference.examined import describe
from a4ps.inference.examiner import DEADLINE_S, examine
from a4ps.inference.gguf import read_header
from tests.doubles.gguf_file import STRING, Tensor, adapter, gguf, model
from tests.doubles.gguf_mutants import mutants

MUTANTS = 300


def put(path: Path, data: bytes, sparse_bytes: int = 0) -> None:
    """Write a file, followed by so many zeros that take no space."""
    with path.open("wb") as handle:
        handle.write(data)
        handle.truncate(len(data) + sparse_bytes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "some.gguf"


async def test_the_child_says_of_a_file_what_its_header_says(file: Path) -> None:
    for data in (model(), adapter()):
        put(file, data)
        assert await examine(file) == describe(read_header(data, len(data)))


async def test_what_is_wrong_with_a_file_is_said_with_its_name(file: Path) -> None:
    put(file, model()[:-100])
    with pytest.raises(ModelFileBad, match=r"some\.gguf is cut: it has"):
        await examine(file)


@pytest.mark.slow
@pytest.mark.timeout(300)  # 300 processes: seconds on a quiet machine
async def test_300_mutants_are_refused_or_examined_without_harm(tmp_path: Path) -> None:
    """Each has its own child with a deadline under two seconds; the child itself answers, whatever the file."""
    assert DEADLINE_S < 2
    at_once = asyncio.Semaphore(os.cpu_count() or 1)

    async def outcome(number: int, way: str, data: bytes) -> str:
        path = tmp_path / f"{number}.gguf"
        put(path, data)
        async with at_once:
            for deadline_s in (DEADLINE_S, 60):  # a busy machine may be late once; no file may silence the child
                try:
                    return f"examined: {(await examine(path, deadline_s=deadline_s)).kind}"
                except ModelUnexamined:
                    continue
                except ModelFileBad:
                    return "refused"
        return f"{way}: silent"

    mutated = enumerate(mutants(random.Random(300), MUTANTS))
    outcomes = await asyncio.gather(*(outcome(number, way, data) for number, (way, data) in mutated))
    assert len(outcomes) == MUTANTS
    assert set(outcomes) == {"refused", "examined: model", "examined: adapter"}


async def test_a_large_file_costs_no_more_than_its_header(file: Path) -> None:
    """Its tensors are never mapped: 40 GB of them pass through a child with 640 MiB of address space."""
    head = gguf({"general.architecture": "x"}, [Tensor("t", (10_000, 1_000_000), size=0)])
    put(file, head, sparse_bytes=40 * 10**9)
    assert (await examine(file)).parameters == 10**10


async def test_the_longest_header_that_is_walked_ends_within_the_limits(file: Path) -> None:
    """Two million strings and 65,536 tensors: the most that the reader goes through."""
    strings = struct.pack("<IIQ", 9, STRING, 2_000_000) + bytes(16_000_000)
    put(file, gguf({"general.architecture": "x", "k": strings}, [Tensor(f"t{at}", (1,)) for at in range(65_536)]))
    assert (await examine(file, deadline_s=60)).parameters == 65_536


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("while True: pass", "longer than 0.3 s"),
        ("import os; os.close(1); import time; time.sleep(60)", "longer than 0.3 s"),
        ("print('all is well')", "no answer that can be read"),
        ('print(\'{"kind": "model"}\')', "no answer that can be read"),
        ("print('[]')", "no answer that can be read"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with -11"),
        ("raise SystemExit(3)", "ended with 3"),
        ("while True: print('x' * 100000)", "ended with -9"),
    ],
)
async def test_a_child_that_fails_is_ended_and_its_file_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    put(file, model())
    monkeypatch.setattr(examiner, "CHILD", ("-I", "-c", program))
    with pytest.raises(ModelUnexamined, match=said):
        await examine(file, deadline_s=0.3 if "longer" in said else 30)


def test_the_child_limits_itself_before_it_reads() -> None:
    """A reader gone wild is stopped by the child's own limits."""
    program = (
        "import resource\n"
        "from a4ps.inference import gguf_child\n"
        "def wild(source):\n"
        "    assert resource.getrlimit(resource.RLIMIT_CPU) == (2, 2)\n"
        "    assert resource.getrlimit(resource.RLIMIT_FSIZE) == (0, 0)\n"
        "    return bytearray(2**30)\n"
        "gguf_child._header = wild\n"
        "gguf_child.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "needs more memory" in done.stdout, done.stderr


async def test_only_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ModelFileBad, match="is no file"):
            await examine(path)
    with pytest.raises(WorldError, match="No such file"):
        await examine(tmp_path / "absent")
    put(tmp_path / "empty", b"")
    with pytest.raises(ModelFileBad, match="is empty"):
        await examine(tmp_path / "empty")


async def test_a_cancelled_examination_leaves_no_child(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(file, model())
    told = file.with_name("pid")
    program = f"import os, time; open({str(told)!r} + '.new', 'w').write(str(os.getpid())); "
    program += f"os.rename({str(told)!r} + '.new', {str(told)!r}); time.sleep(60)"
    monkeypatch.setattr(examiner, "CHILD", ("-I", "-c", program))
    task = asyncio.create_task(examine(file, deadline_s=60))
    async with asyncio.timeout(30):
        while not told.exists():  # noqa: ASYNC110  # the child has no other way to tell
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)
