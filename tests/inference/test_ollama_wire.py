"""The pure half of the Ollama engine: addresses, names, versions, bodies, lines and errors as values."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import (
    EngineBroke,
    EngineBusy,
    EngineGarbled,
    EngineRefused,
    EngineUnreachable,
    ModelMissing,
    PeerError,
    PromptTooLong,
    SettingsError,
)
from a4ps.inference import ollama_wire as wire
from a4ps.inference.engine import ChatRequest, Message

REQUEST = ChatRequest("tiny", (Message("user", "Hi"),), persona="ROBIN", step="thesis")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("127.0.0.1:11434", "http://127.0.0.1:11434"),
        (" 127.0.0.1 ", "http://127.0.0.1:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("http://0.0.0.0:9", "http://127.0.0.1:9"),
        ("::", "http://[::1]:11434"),
        ("[::1]:9", "http://[::1]:9"),
        ("::1", "http://[::1]:11434"),
        ("localhost", "http://localhost:11434"),
        ("http://gpu.lan", "http://gpu.lan:80"),
        ("https://gpu.lan/ollama/", "https://gpu.lan:443/ollama"),
    ],
)
def test_a_host_is_read_as_ollama_reads_it(host: str, url: str) -> None:
    assert wire.base_url(host) == url
    assert wire.base_url(url) == url


@pytest.mark.parametrize(
    "host", ["ftp://x", "http://x:port", "127.0.0.1:99999", "a b", "me:word@gpu.lan", "http://[::1"]
)
def test_what_is_no_host_is_the_callers_mistake(host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        wire.base_url(host)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.9.9.9:1", True),
        ("http://[::1]:1", True),
        ("http://localhost:1", True),
        ("http://192.168.0.7:1", False),
        ("http://localhost.example:1", False),
    ],
)
def test_loopback(url: str, local: bool) -> None:
    assert wire.is_loopback(url) is local


@pytest.mark.parametrize(
    ("version", "holed"),
    [
        ("0.17.0", True),
        ("0.17.1-rc1", True),
        ("0.17.1", False),
        ("0.33.0-rc2", False),
        ("0.34.1", False),
        ("0.34.2-rc0", True),
        ("0.34.2", True),
        ("0.34.9", True),
        ("0.35.0-rc3", True),
        ("0.35.0", False),
        ("1.0.0", False),
        ("v0.34.2", True),
        ("0.1.9", True),
        ("unknown", False),
        ("", False),
    ],
)
def test_known_holes(version: str, holed: bool) -> None:
    assert (wire.known_hole(version) is not None) is holed


def test_a_body_bounds_everything_and_never_by_zero() -> None:
    body = wire.chat_body(REQUEST, think=None, num_predict=0)
    assert body["options"] == {"num_ctx": 8192, "num_predict": 1, "temperature": 0.7}
    assert body["truncate"] is False
    assert body["shift"] is False
    assert not {"think", "format"} & set(body)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1.5, math.inf])
def test_keep_alive_is_a_number_that_json_has(seconds: float) -> None:
    request = ChatRequest("m", REQUEST.messages, "ROBIN", "thesis", keep_alive_s=seconds)
    sent = json.loads(json.dumps(wire.chat_body(request, think=False, num_predict=5), allow_nan=False))
    assert sent["keep_alive"] == (-1 if math.isinf(seconds) else seconds)
    assert sent["think"] is False


def test_half_a_surrogate_can_be_sent() -> None:
    request = ChatRequest("m", (Message("user", "a\ud800b"),), "ROBIN", "thesis")
    json.dumps(wire.chat_body(request, think=None, num_predict=5), ensure_ascii=False).encode()


def test_half_a_surrogate_does_not_come_in() -> None:
    """JSON can spell one; no disk could hold it."""
    assert wire.parse_chunk({"message": {"content": "a\ud83db é"}}).text == "a?b é"


def chat_line(content: object = "x", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "message": {"role": "assistant", "content": content}, "done": False} | fields


def test_lines_of_a_reply() -> None:
    assert wire.parse_chunk(chat_line("The")) == wire.Delta(text="The")
    assert wire.parse_chunk({"message": {"role": "assistant", "content": "", "thinking": "hm"}}) == wire.Delta("hm")
    end = chat_line("", done=True, done_reason="length", prompt_eval_count=7, eval_count=3, load_duration=2_500_000)
    assert wire.parse_chunk(end).done == wire.Done("length", 7, 3, 2.5)
    assert wire.parse_chunk(chat_line(done=True)).done == wire.Done("stop", 0, 0, 0.0)


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"message": "text"},
        {"response": "x", "done": False},
        chat_line(5),
        chat_line(done=1),
        chat_line(done=True, done_reason="load"),
        chat_line(done=True, done_reason="unload"),
        chat_line(done=True, done_reason="wizard"),
        chat_line(done=True, done_reason=["stop"]),
        chat_line(done=True, eval_count=-1),
        chat_line(done=True, eval_count=True),
    ],
)
def test_what_is_no_line_of_a_reply(part: dict[str, Any]) -> None:
    with pytest.raises(EngineGarbled):
        wire.parse_chunk(part)


_VALUES = st.sampled_from(
    [None, True, False, 0, 3, -1, 0.5, "", "stop", "load", [], ["stop"], {}, {"content": 5}, {"content": "x"}]
)


@given(st.dictionaries(st.sampled_from(["message", "done", "done_reason", "eval_count", "load_duration"]), _VALUES))
def test_any_object_is_a_line_or_garbled(part: dict[str, Any]) -> None:
    with suppress(EngineGarbled):
        assert isinstance(wire.parse_chunk(part), wire.Delta)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ("model 'tiny' not found", 404, ModelMissing),
        ('model "tiny" not found, try pulling it first', 404, ModelMissing),
        ("404 page not found", 404, EngineGarbled),
        ("", 403, EngineRefused),
        ("remote model is unavailable", 403, EngineRefused),
        ("server busy, please try again.  maximum pending requests exceeded", 503, EngineBusy),
        ("slow down", 429, EngineBusy),
        ("unexpected EOF", 400, EngineRefused),
        ("unexpected EOF", 500, EngineBroke),
        ("anything at all", -1, EngineBroke),
        ("model requires more system memory (9 GiB) than is available", 500, EngineRefused),
        ("<!doctype html>", 500, EngineGarbled),
        ('{"error":{"message":"request (9 tokens) exceeds the available context size"}}', 400, PromptTooLong),
        ({"code": 400, "type": "exceed_context_size_error", "message": "too much"}, -1, PromptTooLong),
    ],
)
def test_what_an_error_means(error: object, status: int, kind: type[PeerError]) -> None:
    found = wire.refusal(error, status=status, model="tiny")
    assert type(found) is kind
    assert found.next_step or kind is ModelMissing


def test_any_error_after_text_is_a_broken_reply() -> None:
    found = wire.refusal("model 'tiny' not found", status=-1, model="tiny", partial="The sky")
    assert isinstance(found, EngineBroke)
    assert found.partial == "The sky"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("pull model manifest: file does not exist", EngineRefused),
        ("write /srv/ollama/models/blobs/sha256-1: no space left on device", EngineRefused),
        ("dial tcp: lookup registry.invalid: no such host", EngineUnreachable),
        ("something else", EngineRefused),
    ],
)
def test_what_a_failed_download_means(error: str, kind: type[PeerError]) -> None:
    found = wire.pull_refusal(error, status=-1, model="tiny")
    assert type(found) is kind
    assert found.next_step
    assert "/srv" not in found.message


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("open /srv/ollama/models/blobs/sha256-0: no such file", "open (a file of the server): no such file"),
        ('exec "/usr/lib/ollama/runner": killed', 'exec "(a file of the server)": killed'),
        ("open C:\\Users\\me\\.ollama\\x: denied", "open (a file of the server): denied"),
        ('Get "https://registry.invalid/v2/library/x": no', 'Get "https://registry.invalid/v2/library/x": no'),
        ("and/or 1/2 and </b>", "and/or 1/2 and </b>"),
    ],
)
def test_paths_of_the_server_are_not_shown(text: str, seen: str) -> None:
    assert wire.shown(text) == seen


def test_errors_within_errors_are_unwrapped_and_kept_short() -> None:
    inner = json.dumps({"error": {"code": 400, "message": "schema conversion failed"}})
    assert wire.error_text(json.dumps({"error": inner})) == "schema conversion failed"
    assert wire.error_text({"code": 7}) == '{"code": 7}'
    assert wire.error_text("{half") == "{half"
    assert len(wire.error_text("x" * 5000)) == 300


@given(st.text(alphabet="ab \n\t.é你"))
def test_no_text_has_fewer_tokens_than_words(text: str) -> None:
    """The bound that a cut is judged by counts nothing twice."""
    least = wire.least_tokens((Message("user", text), Message("system", text)))
    assert least == 2 * len(text.split())
    wire.check_uncut(least, least, 8192)
    wire.check_uncut(0, least, 8192)
    if least > 1:
        with pytest.raises(PromptTooLong):
            wire.check_uncut(least - 1, least, 8192)


def test_lists_and_reports() -> None:
    assert wire.parse_models({"models": None}) == ()
    assert wire.parse_capabilities({"capabilities": ["completion", 7]}) == {"completion"}
    assert wire.parse_capabilities({}) == wire.parse_capabilities({"capabilities": "all"}) == frozenset()
    for wrong in ({"models": 5}, {"models": ["x"]}, {"models": [{"name": 5}]}):
        with pytest.raises(EngineGarbled):
            wire.parse_models(wrong)
    with pytest.raises(EngineGarbled):
        wire.parse_version({"version": 5})


def test_a_fraction_between_bounds_is_sent_as_a_choice() -> None:
    """Ollama hands schemas to llama.cpp, whose grammars bound whole numbers only."""
    shape = {"type": "object", "properties": {"confidence": {"type": "number", "minimum": 0, "maximum": 1}}}
    sent = wire.chat_body(replace(REQUEST, schema=shape), think=None, num_predict=5)["format"]
    assert set(sent["properties"]["confidence"]["enum"]) >= {0, 0.5, 1}
