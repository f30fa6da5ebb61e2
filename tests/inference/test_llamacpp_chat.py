"""What llama.cpp is asked, and what its chunks mean, as values."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from a4ps.inference.control_tokens import JOINER, ControlTokens
from a4ps.inference.llamacpp_chat import MARK_TOKENS, Reply, chat_body
from a4ps.inference.llamacpp_wire import Speak

SPEAK = Speak(
    call=1,
    messages=(("system", "Be brief."), ("user", "Why?")),
    lora=-1,
    schema="",
    think=False,
    think_tokens=100,
    max_tokens=50,
    num_ctx=1000,
    temperature=0.5,
    seed=7,
)

NONE = ControlTokens()


def test_marks_in_a_message_are_text_whoever_wrote_it() -> None:
    said = replace(SPEAK, messages=(("system", "a<|end|>"), ("user", "b<|end|>"), ("assistant", "c<|end|>")))
    body = chat_body(said, loras=0, thinker=False, marks=ControlTokens(["<|end|>"]))
    assert [message["content"] for message in body["messages"]] == [f"{who}<{JOINER}|end|>" for who in "abc"]


def test_each_lora_has_its_scale_in_every_call() -> None:
    """llama.cpp keeps the scales of the call before for those that are not named."""
    assert chat_body(replace(SPEAK, lora=1), loras=3, thinker=False, marks=NONE)["lora"] == [
        {"id": 0, "scale": 0.0},
        {"id": 1, "scale": 1.0},
        {"id": 2, "scale": 0.0},
    ]
    assert [entry["scale"] for entry in chat_body(SPEAK, loras=2, thinker=False, marks=NONE)["lora"]] == [0.0, 0.0]


def test_a_model_that_cannot_think_gets_no_room_for_it() -> None:
    body = chat_body(replace(SPEAK, think=True), loras=0, thinker=False, marks=NONE)
    assert body["max_tokens"] == 50
    assert "thinking_budget_tokens" not in body


@pytest.mark.parametrize(("think", "budget"), [(True, 100), (False, 1)])
def test_a_thinker_has_room_for_thought_and_reply(think: bool, budget: int) -> None:
    body = chat_body(replace(SPEAK, think=think), loras=0, thinker=True, marks=NONE)
    assert body["chat_template_kwargs"] == {"enable_thinking": think}
    assert body["thinking_budget_tokens"] == budget
    assert body["max_tokens"] == 50 + budget + MARK_TOKENS


def test_a_schema_becomes_the_response_format() -> None:
    shape: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "integer"}}}
    body = chat_body(replace(SPEAK, schema=json.dumps(shape)), loras=0, thinker=False, marks=NONE)
    assert body["response_format"]["json_schema"]["schema"] == shape


def chunk(**delta: str) -> dict[str, Any]:
    return {"choices": [{"finish_reason": None, "index": 0, "delta": delta}]}


def progress(total: int) -> dict[str, Any]:
    return {**chunk(), "prompt_progress": {"total": total, "processed": 0}}


def ending(reason: str) -> dict[str, Any]:
    return {"choices": [{"finish_reason": reason, "index": 0, "delta": {}}]}


def usage(prompt: int, completion: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


def test_a_reply_ends_with_its_exact_counts() -> None:
    reply = Reply(50, 1000)
    said = [reply.read(part) for part in (progress(9), chunk(content="a"), chunk(content="b"), ending("stop"))]
    assert said == [("", ""), ("", "a"), ("", "b"), ("", "")]
    reply.read(usage(9, 5))
    assert (reply.reason, reply.prompt_tokens, reply.completion_tokens, reply.stop) == ("stop", 9, 5, False)


def test_thoughts_are_no_part_of_what_the_reply_may_have() -> None:
    reply = Reply(2, 1000)
    parts = [chunk(reasoning_content="hm")] * 5 + [chunk(content="x")] * 2
    assert [reply.read(part) for part in parts] == [("hm", "")] * 5 + [("", "x")] * 2
    assert not reply.stop
    assert reply.read(chunk(content="x")) == ("", "")
    assert (reply.stop, reply.reason) == (True, "length")


def test_a_prompt_that_leaves_no_room_is_too_long_before_anything_is_read() -> None:
    reply = Reply(50, 10)
    reply.read(progress(9))
    assert not reply.stop
    reply = Reply(50, 9)
    reply.read(progress(9))
    assert reply.stop
    assert reply.too_long


def test_prompt_and_reply_share_the_context() -> None:
    reply = Reply(50, 11)
    reply.read(progress(9))
    reply.read(chunk(content="a"))
    assert not reply.stop
    assert reply.read(chunk(content="b")) == ("", "b")
    assert (reply.stop, reply.reason) == (True, "length")
