"""Output is of one thread: what others write meanwhile goes where it went before, and the streams come back."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import cast

import pytest

from a4ps.kernel.console_output import Output, kept_apart


def in_another_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_one_threads_output_is_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    output, other = Output(100), Output(100)

    def elsewhere() -> None:
        print("aloud")
        with kept_apart(other):
            print("another's")
        print("aloud", file=sys.stderr)

    with kept_apart(output):
        print("mine")
        in_another_thread(elsewhere)
        print("mine too", file=sys.stderr)
    assert output.end() == "mine\nmine too\n"
    assert other.end() == "another's\n"
    assert (out.getvalue(), err.getvalue()) == ("aloud\n", "aloud\n")
    assert (sys.stdout, sys.stderr) == (out, err)


def test_a_stream_that_was_put_there_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    output, inner = Output(100), io.StringIO()
    with kept_apart(output):
        with redirect_stdout(inner):
            print("inside")
        print("outside")
    assert (inner.getvalue(), output.end()) == ("inside\n", "outside\n")


def test_a_process_without_streams_has_one_while_it_is_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    streams: dict[str, object] = vars(sys)
    monkeypatch.setitem(streams, "stdout", None)
    output = Output(100)
    with kept_apart(output):
        print("mine")
        in_another_thread(lambda: print("nowhere"))
    assert output.end() == "mine\n"
    assert streams["stdout"] is None


def test_output_is_bounded_and_ends() -> None:
    output = Output(5)
    assert (output.write("abc"), output.cut) == (3, False)
    assert (output.write("defg"), output.cut) == (4, True)
    assert output.end() == "abcde"
    output = Output(5)
    output.end()
    output.write("late")
    assert (output.end(), output.cut) == ("", False)
    with pytest.raises(TypeError):
        output.write(cast(str, b"x"))
    assert not output.isatty()
