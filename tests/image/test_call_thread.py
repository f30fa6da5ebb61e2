"""A thread in which an exception can be set: it hits the call that runs, or none, and nothing after it."""

from __future__ import annotations

import threading

import pytest

from a4ps.image.call_thread import CallThread, GivenUp, inside_call

LONG_S = 60.0


@pytest.fixture
def thread() -> CallThread:
    made = CallThread("a4ps-test")
    made.start()
    return made


def test_calls_are_served_in_order_and_told_apart(thread: CallThread) -> None:
    def fails() -> None:
        raise ValueError

    calls = [thread.serve(work) for work in (inside_call, fails, threading.get_ident)]
    thread.end()
    thread.join(LONG_S)
    assert all(call.done.is_set() and call.ended for call in calls)
    assert (calls[0].result, type(calls[1].error), calls[2].result) == (True, ValueError, thread.ident)
    assert not inside_call()
    assert thread.frame() is None


@pytest.mark.parametrize("kind", [GivenUp, KeyboardInterrupt])
def test_an_exception_ends_the_call_that_runs_and_the_thread(thread: CallThread, kind: type[BaseException]) -> None:
    begun = threading.Event()

    def endless() -> None:
        begun.set()
        while True:
            pass

    call, next_one = thread.serve(endless), thread.serve(inside_call)
    assert begun.wait(LONG_S)
    assert thread.frame() is not None
    thread.throw(kind)
    thread.join(LONG_S)
    assert not thread.is_alive()
    assert type(call.error) is kind
    assert not next_one.ended


@pytest.mark.parametrize("kind", [GivenUp, KeyboardInterrupt])
def test_one_that_comes_too_late_hits_nobody(
    thread: CallThread, kind: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    call = thread.serve(inside_call)
    assert call.done.wait(LONG_S)
    thread.throw(kind)
    thread.join(LONG_S)
    thread.throw(kind)
    assert not thread.is_alive()
    assert (call.result, call.error) == (True, None)
    assert capsys.readouterr() == ("", "")
