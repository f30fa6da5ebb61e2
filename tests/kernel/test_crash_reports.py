"""Crash reports: what broke and where, nothing of a person's, few and small."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

import pytest

from a4ps import __version__
from a4ps.clock import ManualClock
from a4ps.kernel.crash_reports import REPORT_CHARS, REPORTS_MAX, SAME_S, CrashReports, reported
from a4ps.kernel.held_files import CrashTexts
from a4ps.log_file import SECRET
from a4ps.sought import BAR, Sought


def broken(text: str = "no such row") -> Exception:
    """As it comes out of a function with a local of its own."""

    def fail() -> None:
        confided = "".join(("my PIN is 48", "21"))
        raise KeyError(text) from ValueError(len(confided))

    try:
        fail()
    except KeyError as error:
        return error
    raise AssertionError


@pytest.fixture
def reports(tmp_path: Path, clock: ManualClock) -> CrashReports:
    return CrashReports(tmp_path / "state" / "crashes", clock)


def test_a_report_says_what_broke_and_nothing_else(reports: CrashReports) -> None:
    path = reports.write(broken(), "memory")
    assert path is not None
    text = path.read_text()
    assert text.startswith(
        f"version: {__version__}\ntime: 2026-11-22T12:00:00+00:00\nservice: memory\n\nValueError: 14\n"
    )
    assert text.endswith("KeyError: 'no such row'\n")
    assert "Traceback" in text
    assert "4821" not in text
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700 & ~_umask())


def _umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


def test_secrets_are_left_out(reports: CrashReports) -> None:
    path = reports.write(ValueError("token " + "0f" * 32), "server")
    assert path is not None
    assert path.read_text().endswith(f"ValueError: token {SECRET}\n")


def test_the_newest_are_kept_and_each_is_small(reports: CrashReports, clock: ManualClock) -> None:
    paths = []
    for number in range(REPORTS_MAX + 5):
        clock.advance(SAME_S)
        paths.append(reports.write(ValueError(f"{number} " + "x" * REPORT_CHARS), "memory"))
    last = paths[-1]
    assert last is not None
    assert sorted(last.parent.iterdir()) == paths[5:]
    assert len(last.read_text()) < REPORT_CHARS + 100
    assert "characters left out" in last.read_text()


def test_the_same_crash_is_reported_once_a_minute(reports: CrashReports, clock: ManualClock) -> None:
    error = broken()
    assert reports.write(error, "memory")
    assert reports.write(error, "memory") is None
    assert reports.write(ValueError("elsewhere"), "memory")
    clock.advance(SAME_S)
    assert reports.write(error, "memory")


def test_a_disk_that_refuses_is_logged(tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "crashes").write_text("a file")
    assert CrashReports(tmp_path / "crashes", clock).write(broken(), "memory") is None
    assert "could not be written" in caplog.text


def test_words_in_a_report_can_be_forgotten(reports: CrashReports) -> None:
    path = reports.write(broken("my SECRET words"), "memory")
    assert path is not None
    holder, sought = CrashTexts(path.parent), Sought(texts=("secret words",))
    assert [place.where for place in holder.find(sought)] == [path.name]
    holder.remove(sought)
    assert holder.find(sought) == []
    assert path.read_text().endswith(f"KeyError: 'my {BAR}'\n")
    assert holder.holds_file(path)


class TestLastResorts:
    def test_of_the_main_thread(self, reports: CrashReports, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        passed_on: list[type[BaseException]] = []
        monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: passed_on.append(kind))
        before = sys.excepthook
        with reported(reports):
            sys.excepthook(KeyError, broken(), None)
            sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert sys.excepthook is before
        assert passed_on == [KeyError, KeyboardInterrupt]
        assert services(tmp_path) == ["the main thread"]

    def test_of_a_thread(self, reports: CrashReports, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        def work(error: BaseException) -> None:
            raise error

        with reported(reports):
            for error in (broken(), SystemExit(1)):
                thread = threading.Thread(target=work, args=(error,), name="worker")
                thread.start()
                thread.join()
        assert services(tmp_path) == ["the thread worker"]
        assert "the thread worker failed" in caplog.text

    async def test_of_the_loop(self, reports: CrashReports, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()

        def fail() -> None:
            raise broken()

        with reported(reports, loop):
            loop.call_soon(fail)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            loop.call_exception_handler({"message": "a task was lost"})
        assert loop.get_exception_handler() is before
        assert len(services(tmp_path)) == 1
        assert services(tmp_path)[0].startswith("the event loop (Exception in callback")
        assert "a task was lost" in caplog.text


def services(folder: Path) -> list[str]:
    texts = [path.read_text() for path in sorted((folder / "state" / "crashes").iterdir())]
    return [text.splitlines()[2].removeprefix("service: ") for text in texts]
