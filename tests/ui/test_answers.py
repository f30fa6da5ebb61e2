"""What windows need is asked one at a time, and in the end nothing that is shown is older than the last commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from a4ps.errors import BackendLost
from a4ps.protocol.requests.figures import SeriesRequest
from a4ps.ui.answers import Answers
from a4ps.ui.calls import Calls
from a4ps.ui.link import Answered, Failed
from a4ps.ui.model.pane import Need
from tests.ui.fake_link import FakeLink

WINDOWS = ("a", "b", "c")
NAMES = ("x", "y")


def need(name: str) -> Need:
    return Need("n", SeriesRequest(names=[name]), frozenset({name}))


class Backend:
    """Answers what a fake link was sent with how many commits of that kind there were when it was asked."""

    def __init__(self) -> None:
        self.link = FakeLink()
        self.calls = Calls(self.link, lambda: 0.0)
        self.answers = Answers(self.calls, lambda _: None)
        self.commits = dict.fromkeys(NAMES, 0)
        self.asked: dict[str, Mapping[str, Any]] = {}

    def note(self) -> None:
        """What is on its way was read by the backend now; of each request there is one at most."""
        requests = [str(request) for request in self.link.sent.values()]
        assert len(requests) == len(set(requests))
        for tag, request in self.link.sent.items():
            if tag not in self.asked:
                assert isinstance(request, SeriesRequest)
                self.asked[tag] = {"of": request.names[0], "seen": self.commits[request.names[0]]}

    def end_one(self, error: BackendLost | None) -> None:
        if not self.link.sent:
            return
        tag = next(iter(self.link.sent))
        del self.link.sent[tag]
        value = self.asked.pop(tag)
        self.calls.received(Failed(tag, error) if error is not None else Answered(tag, dict(value)))


STEPS = st.one_of(
    st.tuples(st.just("want"), st.sampled_from(WINDOWS), st.sampled_from((*NAMES, ""))),
    st.tuples(st.just("commit"), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.sampled_from(("answer", "live", "lost")), st.just(""), st.just("")),
)


@settings(max_examples=400)
@given(st.lists(STEPS, max_size=20))
@example([("live", "", ""), ("want", "a", "x"), ("want", "a", ""), ("want", "a", "x")])
@example([("live", "", ""), ("want", "a", "x"), ("want", "a", ""), ("commit", "x", ""), ("want", "a", "x")])
def test_in_the_end_every_window_shows_the_newest(steps: list[tuple[str, str, str]]) -> None:
    backend = Backend()
    wanted: dict[str, str] = {}
    live = False
    for what, one, other in steps:
        match what:
            case "want":
                wanted[one] = other
                backend.answers.want(one, [need(other)] if other else [])
            case "commit":
                backend.commits[one] += 1
                backend.answers.committed(frozenset({one}))
            case "answer":
                backend.end_one(None)
            case "live":
                live = True
                backend.answers.linked(True)
            case "lost":
                live = False
                backend.answers.linked(False)
                backend.end_one(BackendLost("gone"))
        backend.note()
    if not live:
        backend.answers.linked(True)
        backend.note()
    while backend.link.sent:
        backend.end_one(None)
        backend.note()
    for window, name in wanted.items():
        found = backend.answers.of(window)
        if name:
            assert found["n"].value == {"of": name, "seen": backend.commits[name]}
        else:
            assert found == {}


def test_what_was_found_last_is_shown_until_there_is_more_but_only_where_that_is_wanted() -> None:
    backend = Backend()
    answers = backend.answers
    answers.linked(True)
    for lasting, shown in ((True, {"of": "x", "seen": 0}), (False, None)):
        answers.want("a", [replace(need("x"), lasting=lasting)])
        backend.note()
        backend.end_one(None)
        answers.want("a", [replace(need("y"), lasting=lasting)])
        backend.note()
        assert answers.of("a")["n"].value == shown
        assert answers.of("a")["n"].asking
        backend.end_one(None)
        assert answers.of("a")["n"].value == {"of": "y", "seen": 0}
        answers.want("a", [])
        assert not answers.of("a")


def test_what_was_found_last_goes_with_its_window_and_yields_to_a_fault() -> None:
    backend = Backend()
    answers = backend.answers
    answers.linked(True)
    answers.want("a", [replace(need("x"), lasting=True)])
    backend.note()
    backend.end_one(None)
    answers.want("a", [])
    answers.want("a", [replace(need("y"), lasting=True)])
    assert answers.of("a")["n"].value is None
    backend.note()
    backend.end_one(BackendLost("gone"))
    assert answers.of("a")["n"].fault == "gone"
