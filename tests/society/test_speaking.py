"""Speaking: what the user saw growing is what was said in the end, and a bad reply is mended once or given up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from a4ps.clock import ManualClock, SystemClock
from a4ps.errors import EngineBroke, EngineGarbled, ModelMissing
from a4ps.inference.engine import (
    ChatRequest,
    Chunk,
    Finished,
    Loading,
    Message,
    Text,
    Thinking,
)
from a4ps.inference.loop_guard import ENDED
from a4ps.society import speaking
from a4ps.society.progress import Began, LoadingModel, Noted, Progress, Restarted, Spoke, Thought, Token
from a4ps.society.speaking import Speaker, Spoken, TooLate
from tests.doubles.scripted_engine import MODEL, ScriptedEngine


class Shape(BaseModel):
    kind: Literal["question", "trifle"]
    say: str
    research: str = ""


Reply = Sequence[Chunk | Exception]
REQUEST = ChatRequest(MODEL, (Message("system", "Be brief."), Message("user", "> Rust or Go?")), "ALFRED", "plan")
#: A deadline that no prepared reply reaches.
LATE = 1e6
GOOD = '{"kind": "question", "say": "First the aim.", "research": "prices"}'


def text(whole: str, *, reason: Literal["stop", "length"] = "stop", notes: tuple[str, ...] = ()) -> Reply:
    """A reply that comes in pieces of three characters."""
    pieces = [Text(whole[at : at + 3]) for at in range(0, len(whole), 3)]
    return [*pieces, Finished(reason, 10, len(pieces), notes=notes)]


@dataclass
class Playback(ScriptedEngine):
    """An engine that plays prepared replies chunk by chunk; an exception among them is raised where it stands."""

    replies: Iterator[Reply] = field(default_factory=lambda: iter(()))
    between: Callable[[], None] = lambda: None
    name: str = "playback"
    closed_streams: int = 0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        try:
            for chunk in next(self.replies):
                if isinstance(chunk, Exception):
                    raise chunk
                self.between()
                yield chunk
        finally:
            self.closed_streams += 1


class Stage:
    """A speaker over prepared replies, and what its listener heard."""

    def __init__(self, *replies: Reply, seconds_a_chunk: float = 0.0) -> None:
        self.clock = ManualClock()
        self.engine = Playback(replies=iter(replies), between=lambda: self.clock.advance(seconds_a_chunk))
        self.heard: list[Progress] = []
        self.speaker = Speaker(self.engine, self.clock, self.heard.append)

    async def shaped(self) -> Spoken[Shape]:
        return await self.speaker.say_shaped(REQUEST, Shape, deadline_s=LATE)

    def streamed(self) -> str:
        """What stands on the user's screen: the tokens since the last beginning."""
        shown = ""
        for progress in self.heard:
            match progress:
                case Restarted():
                    shown = ""
                case Token(_, piece):
                    shown += piece
        return shown

    def notes(self) -> list[str]:
        return [progress.text for progress in self.heard if isinstance(progress, Noted)]

    def restarts(self) -> int:
        return sum(isinstance(progress, Restarted) for progress in self.heard)


class TestPlainSpeech:
    async def test_a_contribution_is_the_text_and_its_figures(self) -> None:
        stage = Stage(text("Take Go. "), seconds_a_chunk=0.25)
        said = (await stage.speaker.say(REQUEST, deadline_s=LATE, round_=2)).contribution
        assert (said.persona, said.role, said.text, said.model) == ("ALFRED", "plan", "Take Go.", MODEL)
        assert (said.prompt_tokens, said.completion_tokens, said.ms) == (10, 3, 1000.0)
        assert stage.heard == [
            Began("ALFRED", "plan", MODEL, 2),
            Token("ALFRED", "Tak"),
            Token("ALFRED", "e G"),
            Token("ALFRED", "o. "),
            Spoke(said),
        ]

    async def test_loading_and_thoughts_are_told_apart_from_speech(self) -> None:
        stage = Stage([Loading(MODEL), Thinking("hm"), Text("Go."), Finished("stop", 1, 1)])
        said = (await stage.speaker.say(REQUEST, deadline_s=LATE)).contribution
        assert said.text == "Go."
        assert LoadingModel("ALFRED", MODEL) in stage.heard
        assert Thought("ALFRED", "hm") in stage.heard
        assert stage.streamed() == "Go."

    async def test_the_engines_notes_are_passed_on(self) -> None:
        stage = Stage(text("Go.", notes=("The thought was capped.",)))
        await stage.speaker.say(REQUEST, deadline_s=LATE)
        assert stage.notes() == ["The thought was capped."]

    async def test_a_reply_that_was_cut_off_is_told_of(self) -> None:
        stage = Stage(text("Go.", reason="length"))
        await stage.speaker.say(REQUEST, deadline_s=LATE)
        assert stage.notes() == [f"ALFRED was cut off at {REQUEST.max_tokens} tokens (setting reply_tokens)."]

    async def test_a_reply_that_was_ended_for_its_loop_was_not_too_long(self) -> None:
        """The setting of the reply's length would be the wrong thing to look at."""
        note = f"{ENDED}: it went on repeating “Go.”"
        stage = Stage(text("Go. Go. Go.", reason="length", notes=(note,)))
        await stage.speaker.say(REQUEST, deadline_s=LATE)
        assert stage.notes() == [note]

    @pytest.mark.parametrize("whole", ["", "  \n"])
    async def test_an_empty_reply_is_an_error(self, whole: str) -> None:
        stage = Stage(text(whole))
        with pytest.raises(EngineGarbled, match="answered ALFRED with nothing"):
            await stage.speaker.say(REQUEST, deadline_s=LATE)
        assert not any(isinstance(progress, Spoke) for progress in stage.heard)

    async def test_past_the_deadline_the_reply_ends_and_says_so(self) -> None:
        stage = Stage(text("Take Go, for it compiles to one file."), seconds_a_chunk=1.0)
        spoken = await stage.speaker.say(REQUEST, deadline_s=2.5)
        said = spoken.contribution
        assert said.text == "Take Go,…"
        assert said.completion_tokens == 3
        assert stage.notes() == ["ALFRED was cut short to keep the turn's time."]
        assert spoken.notes == tuple(stage.notes())  # what the listener was told is kept too
        assert stage.engine.closed_streams == 1

    async def test_nothing_is_cut_before_a_word_was_said(self) -> None:
        stage = Stage([Text(" "), Text("\n"), Text("Go."), Finished("stop", 1, 3)], seconds_a_chunk=10.0)
        assert (await stage.speaker.say(REQUEST, deadline_s=5.0)).contribution.text == "Go.…"

    async def test_a_reply_in_time_is_whole(self) -> None:
        stage = Stage(text("Take Go."), seconds_a_chunk=1.0)
        assert (await stage.speaker.say(REQUEST, deadline_s=100.0)).contribution.text == "Take Go."
        assert stage.notes() == []

    @pytest.mark.parametrize("error", [EngineBroke("cut", partial="Ta"), ModelMissing("m")], ids=["broke", "missing"])
    async def test_the_engines_failure_is_the_callers(self, error: Exception) -> None:
        stage = Stage([Text("Ta"), error])
        with pytest.raises(type(error)):
            await stage.speaker.say(REQUEST, deadline_s=LATE)
        assert stage.engine.closed_streams == 1

    async def test_a_stream_that_stops_without_an_end_is_garbled(self) -> None:
        with pytest.raises(EngineGarbled, match="without saying how"):
            await Stage([Text("Ta")]).speaker.say(REQUEST, deadline_s=LATE)


class TestSilence:
    """Deadlines hold against an engine that says nothing, on the real clock."""

    @staticmethod
    def speaker(*first: Chunk) -> tuple[Speaker, list[Progress]]:
        async def hangs(request: ChatRequest) -> AsyncGenerator[Chunk, None]:
            for chunk in first:
                yield chunk
            await asyncio.Event().wait()

        engine = Playback()
        engine.stream = hangs  # type: ignore[method-assign]
        heard: list[Progress] = []
        return Speaker(engine, SystemClock(), heard.append), heard

    async def test_what_may_be_left_out_is_left_out_when_it_says_nothing(self) -> None:
        speaker, _ = self.speaker(Loading(MODEL))
        with pytest.raises(TooLate):
            await speaker.say(REQUEST, deadline_s=speaker.clock.monotonic_s() + 0.01, optional=True)

    async def test_a_reply_that_falls_silent_is_cut_at_the_deadline(self) -> None:
        speaker, _ = self.speaker(Text("Take "), Text("Go"))
        spoken = await speaker.say(REQUEST, deadline_s=speaker.clock.monotonic_s() + 0.01)
        assert spoken.contribution.text == "Take Go…"

    async def test_a_shaped_reply_that_falls_silent_is_what_it_said(self) -> None:
        speaker, heard = self.speaker(Text('{"kind": "question", "say": "First the'))
        spoken = await speaker.say_shaped(REQUEST, Shape, deadline_s=speaker.clock.monotonic_s() + 0.01)
        assert spoken.shape is None
        assert spoken.contribution.text == "First the"
        assert not any(isinstance(progress, Restarted) for progress in heard)  # no repair when there is no time


class TestShapedSpeech:
    async def test_the_schema_is_asked_for_and_the_shape_given(self) -> None:
        stage = Stage(text(GOOD))
        spoken = await stage.shaped()
        assert spoken.shape == Shape(kind="question", say="First the aim.", research="prices")
        assert spoken.contribution.text == stage.streamed() == "First the aim."
        assert stage.engine.requests[0].schema == Shape.model_json_schema()
        assert sum(isinstance(progress, Token) for progress in stage.heard) >= 4  # it grew, and did not come at once
        assert stage.restarts() == 0

    @given(said=st.text(min_size=1).filter(str.strip), size=st.integers(1, 7), ascii_only=st.booleans())
    async def test_what_grew_is_what_was_said(self, said: str, size: int, ascii_only: bool) -> None:
        """However the JSON is cut into pieces, in escapes or surrogate pairs, the tokens add up to `say` and no more."""
        try:
            said.encode()
        except UnicodeEncodeError:
            return
        whole = json.dumps({"kind": "question", "say": said, "research": said}, ensure_ascii=ascii_only)
        pieces = [Text(whole[at : at + size]) for at in range(0, len(whole), size)]
        stage = Stage([*pieces, Finished("stop", 1, 1)])
        spoken = await stage.shaped()
        assert spoken.shape is not None
        assert stage.streamed() == spoken.shape.say == said
        assert spoken.contribution.text == said.strip()

    @pytest.mark.parametrize(
        ("bad", "fault"),
        [
            (text('{"kind": "joke", "say": "Ha."}'), "kind: Input should be 'question' or 'trifle'"),
            (text('{"say": "Ha."}'), "kind: Field required"),
            (text('{"kind": "question", "say": 7}'), "say: Input should be a valid string"),
            (text('{"kind": "question", "say": "  "}'), '"say" was empty'),
            (text("Take Go."), "the reply: Invalid JSON"),
            (text(""), "the reply: Invalid JSON"),
            (text("[]"), "the reply: Input should be an object"),
            (text('{"kind": "question", "say": "On and on', reason="length"), "too long. Be much briefer"),
            (text(GOOD, reason="length"), "too long. Be much briefer"),
            ([EngineGarbled("no JSON came")], "no JSON came"),
        ],
    )
    async def test_a_reply_that_does_not_fit_is_asked_for_once_more_with_its_fault(
        self, bad: Reply, fault: str
    ) -> None:
        stage = Stage(bad, text(GOOD))
        spoken = await stage.shaped()
        assert spoken.shape is not None
        assert spoken.contribution.text == stage.streamed() == "First the aim."
        assert stage.restarts() == 1
        first, second = stage.engine.requests
        assert fault in second.messages[-1].content
        assert second.messages[-1].content.startswith(first.messages[-1].content)
        assert second.messages[:-1] == first.messages[:-1]
        assert (second.schema, second.num_ctx, second.model) == (first.schema, first.num_ctx, first.model)

    async def test_both_calls_are_counted(self) -> None:
        stage = Stage(text("bad"), text(GOOD), seconds_a_chunk=1.0)
        said = (await stage.shaped()).contribution
        assert said.prompt_tokens == 20
        assert said.completion_tokens == 1 + len(text(GOOD)) - 1
        assert said.ms == (len(text("bad")) + len(text(GOOD))) * 1000.0

    async def test_a_second_failure_leaves_what_was_said_and_no_shape(self) -> None:
        """The text is what stands on the screen: the second attempt's."""
        stage = Stage(text('{"say": "First try."}'), text('{"say": "Second try."}'))
        spoken = await stage.shaped()
        assert spoken.shape is None
        assert spoken.contribution.text == stage.streamed() == "Second try."
        assert len(stage.engine.requests) == 2
        assert stage.heard[-1] == Spoke(spoken.contribution)

    async def test_a_second_failure_that_said_nothing_falls_back_on_the_first(self) -> None:
        spoken = await Stage(text('{"say": "First try."}'), text("[")).shaped()
        assert (spoken.shape, spoken.contribution.text) == (None, "First try.")

    @pytest.mark.parametrize(
        "replies",
        [(text(""), text("")), (text("Take Go."), text("Go.")), ([EngineGarbled("x")], [EngineGarbled("y")])],
        ids=["empty", "prose", "garbled"],
    )
    async def test_two_replies_without_a_word_are_an_empty_contribution(self, replies: tuple[Reply, Reply]) -> None:
        stage = Stage(*replies)
        spoken = await stage.shaped()
        assert (spoken.shape, spoken.contribution.text) == (None, "")
        assert not any(isinstance(progress, Spoke) for progress in stage.heard)

    @pytest.mark.parametrize("attempt", [1, 2])
    async def test_an_engine_that_broke_is_not_asked_again(self, attempt: int) -> None:
        """Only a bad reply is repaired; a broken stream is the caller's to handle."""
        before: list[Reply] = [text("bad")] * (attempt - 1)
        stage = Stage(*before, [Text('{"say": "Ta'), EngineBroke("cut", partial='{"say": "Ta')])
        with pytest.raises(EngineBroke):
            await stage.shaped()
        assert len(stage.engine.requests) == attempt
        assert stage.engine.closed_streams == attempt

    async def test_notes_of_both_attempts_are_passed_on(self) -> None:
        stage = Stage(text("bad", notes=("one",)), text(GOOD, notes=("two",)))
        await stage.shaped()
        assert stage.notes() == ["one", "two"]

    async def test_the_scripted_engine_is_understood(self) -> None:
        """The double that other tests lean on speaks the shapes that the society asks for."""
        heard: list[Progress] = []
        engine = ScriptedEngine()
        spoken = await Speaker(engine, ManualClock(), heard.append).say_shaped(REQUEST, Shape, deadline_s=LATE)
        assert spoken.shape is not None
        assert spoken.shape.research


@given(
    st.text(max_size=80),
    st.lists(st.integers(1, 7), max_size=60),
    st.sampled_from(
        ['{"kind": "x", "say": %s, "research": %s}', '{"say":%s,"say2":%s}', '{"stances": [%s], "say" : %s }']
    ),
    st.booleans(),
)
def test_what_is_streamed_of_json_does_not_depend_on_its_pieces(
    said: str, cuts: list[int], shape: str, ascii_only: bool
) -> None:
    whole = shape % (json.dumps(said, ensure_ascii=ascii_only), json.dumps(said, ensure_ascii=ascii_only))
    growing = speaking._Growing()
    place = 0
    for size in [*cuts, len(whole)]:
        piece = whole[place : place + size]
        place += size
        if piece:
            assert growing.after(whole[:place], piece) == speaking._spoken_part(whole[:place])
