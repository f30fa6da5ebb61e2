"""The log: a line is one JSON object, and two who write it lose nothing."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from a4ps.kernel import held_files
from a4ps.kernel.held_files import LogTexts
from a4ps.log_file import SECRET, LogFile, log_path, open_log, without_secrets
from a4ps.sought import BAR, Sought

WRITER = """
import logging, sys
from pathlib import Path
from a4ps.log_file import LogFile
log = LogFile(Path(sys.argv[1]), max_bytes=4000, files=int(sys.argv[3]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[4])):
    log.emit(logging.LogRecord("w", logging.INFO, "", 0, f"{sys.argv[2]} {number}", (), None))
print(log.lost)
"""


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("a4ps.test", logging.WARNING, "file.py", 1, message, args, info)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def test_a_line_is_one_object(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogFile(path)
    log.emit(record("it %s\nbroke \u2028 \udc80", "all", error=ValueError("line one\nline two")))
    log.emit(record("again"))
    log.close()
    first, second = lines(path)
    assert first["message"] == "it all\nbroke \u2028 \udc80"
    assert str(first["traceback"]).endswith("ValueError: line one\nline two")
    assert (first["level"], first["logger"], first["pid"]) == ("WARNING", "a4ps.test", os.getpid())
    assert str(first["time"]).endswith("+00:00")
    assert "traceback" not in second
    assert path.stat().st_mode & 0o777 == 0o600
    assert not log.lost


def test_what_looks_like_a_secret_is_not_written() -> None:
    z85 = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"  # an example of a public key in the CURVE documentation
    for secret in (secrets.token_hex(32), "Ab1" + secrets.token_urlsafe(40), z85):
        assert without_secrets(f"the key is '{secret}', so") == f"the key is '{SECRET}', so"


@pytest.mark.parametrize(
    "text",
    [
        'File "/home/Person1/.local/share/a4ps/site-packages/Package/module2.py", line 12, in test_of_a_thing_with_a_name',
        "turn 12 of 2026-11-22T12:00:00.000+00:00 took 12.5 s (Qwen3-8B-Q4_K_M.gguf)",
        "tests/kernel/test_log_file.py::TestSomething::test_it_x1",
    ],
)
def test_paths_and_names_are_none(text: str) -> None:
    assert without_secrets(text) == text


def test_it_rotates_and_keeps_a_few(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogFile(path, max_bytes=1000, files=2)
    for number in range(40):
        log.emit(record(f"{number:04} " + "x" * 200))
    log.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    kept = [str(line["message"])[:4] for name in ("log.2", "log.1", "log") for line in lines(tmp_path / name)]
    assert kept == [f"{number:04}" for number in range(40 - len(kept), 40)]
    assert all(each.stat().st_size <= 1000 for each in tmp_path.iterdir())


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    path, count = tmp_path / "log", 1000
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, "1000", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        assert writer.communicate(timeout=60)[0] == "False\n"
    found = [str(line["message"]) for each in tmp_path.iterdir() for line in lines(each)]
    assert len(list(tmp_path.iterdir())) > 4
    assert sorted(found) == sorted(f"{name} {number}" for name in ("one", "two") for number in range(count))


def test_one_who_holds_the_lock_for_ever_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a4ps.log_file.LOCK_PAUSE_S", 0.0)
    path = tmp_path / "log"
    log = LogFile(path, max_bytes=100)
    log.emit(record("one"))
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        log.emit(record("two"))
    log.emit(record("three"))
    log.close()
    assert [line["message"] for line in lines(tmp_path / "log.1")] == ["one", "two"]
    assert [line["message"] for line in lines(path)] == ["three"]


def test_threads_of_one_process_write_whole_lines(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", max_bytes=2000, files=500)
    threads = [
        threading.Thread(target=lambda name=name: [log.handle(record(f"{name} {n}")) for n in range(50)])
        for name in ("a", "b", "c")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert len([line for each in tmp_path.iterdir() for line in lines(each)]) == 150


def test_one_that_cannot_be_written_says_so_to_who_asks(tmp_path: Path) -> None:
    root = logging.getLogger()
    (tmp_path / "log").mkdir()
    open_log(tmp_path / "log")
    open_log(tmp_path / "another")
    (handler,) = [each for each in root.handlers if isinstance(each, LogFile)]
    try:
        assert log_path() == str(tmp_path / "log")
        logging.getLogger("a4ps.test").warning("lost")
        assert log_path() == ""
    finally:
        root.removeHandler(handler)
        handler.close()


def test_a_long_message_is_looked_through_at_once() -> None:
    """In time that grows with its length: this took minutes by a search that looks ahead without bounds."""
    for text in ("0.25,Ab" * 100_000, "Ab=" * 200_000, "x" * 500_000):
        assert without_secrets(text) == text


@pytest.mark.parametrize("said", ['the "secret" words', "secret\nwords", "geheime Wörter ☂", "C:\\secret"])
def test_words_in_lines_can_be_forgotten(tmp_path: Path, said: str) -> None:
    """As they were said, and as Python and JSON spell them in a message; what is around them stays."""
    path = tmp_path / "log"
    log = LogFile(path)
    log.emit(record("heard: %s", said))
    log.emit(record("heard: %r", json.dumps({"question": said})))
    log.emit(record("nothing of it"))
    log.close()
    with path.open("ab") as file:
        file.write(b'{"torn": "sec')
    before = lines(path)
    holder, sought = LogTexts(path), Sought(texts=(said,))
    assert [place.where for place in holder.find(sought)] == ["log"]
    holder.remove(sought)
    assert holder.find(sought) == []
    after = lines(path)
    assert after[0] == {**before[0], "message": f"heard: {BAR}"}
    assert after[1] == {**before[1], "message": f"heard: {json.dumps({'question': BAR}, ensure_ascii=False)!r}"}
    assert after[2] == before[2]
    assert path.read_bytes().endswith(b'{"torn": "sec')


def test_the_names_of_fields_are_no_words(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogFile(path)
    log.emit(record("at that time"))
    log.close()
    LogTexts(path).remove(Sought(texts=("time", "message")))
    (line,) = lines(path)
    assert line["message"] == f"at that {BAR}"


def test_nobody_rotates_while_words_are_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a file could slip past the one who looks through them."""
    monkeypatch.setattr("a4ps.log_file.LOCK_PAUSE_S", 0.0)
    path, seen = tmp_path / "log", list[list[str]]()
    log = LogFile(path, max_bytes=300)
    for _ in range(4):
        log.emit(record("a secret word"))
    before = sorted(each.name for each in tmp_path.iterdir())

    def bar_while_others_write(file: Path, sought: Sought) -> None:
        log.emit(record("x" * 300))
        seen.append(sorted(each.name for each in tmp_path.iterdir()))
        bar(file, sought)

    bar = held_files._bar
    monkeypatch.setattr(held_files, "_bar", bar_while_others_write)
    LogTexts(path).remove(Sought(texts=("secret word",)))
    assert len(before) == 2
    assert seen == [before, before]
    log.emit(record("later"))
    log.close()
    assert len(list(tmp_path.iterdir())) == 3
    assert b"secret" not in b"".join(each.read_bytes() for each in tmp_path.iterdir())
