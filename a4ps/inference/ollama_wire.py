"""Ollama's protocol without any I/O: what a request looks like, what its answers mean, which error a failure is.

Everything here is a function of values, so that each oddity of a real server can be tested as one line of JSON.
Sockets, deadlines and retries live in `ollama.py`.

Held here: a chunk of an unexpected shape never passes for a reply; no error text shows a path of the server's disk.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from a4ps.errors import (
    EngineBroke,
    EngineBusy,
    EngineGarbled,
    EngineRefused,
    EngineUnreachable,
    ModelFileBad,
    ModelMissing,
    PeerError,
    PromptTooLong,
    SettingsError,
)
from a4ps.inference.engine import ChatRequest, Message, ModelCard, ModelInfo, PullProgress, Resident
from a4ps.inference.layout import Layout, layout_of_show
from a4ps.inference.stepped_schema import stepped

DEFAULT_PORT = 11434
_TOO_LONG = re.compile(
    r"exceed_context_size_error|exceeds the available context|longer than the context|input length exceeds",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"\bmodel ['\"].*['\"] not found", re.IGNORECASE)
_RUNNER_DIED = re.compile(
    r"error was encountered while running the model|terminated: signal|unexpected EOF|connection reset", re.IGNORECASE
)
_NO_MEMORY = re.compile(r"out of memory|more system memory|insufficient memory|cudaMalloc", re.IGNORECASE)
_NO_NETWORK = re.compile(
    r"no such host|connection refused|network is unreachable|no route to host|i/o timeout|TLS handshake|dial tcp",
    re.IGNORECASE,
)
# An absolute path, but neither the tail of a URL nor a fraction such as "and/or".
_PATH = re.compile(r"(?<![\w:/.>])(?:/[^\s/:\"'<>]+){2,}/?|(?<![\w])[A-Za-z]:\\[^\s:\"']+")
_SHOWN_CHARS = 300
_MOST_SECONDS = 2**63 / 1e9


def base_url(host: str) -> str:
    """`host` as a URL with scheme and port, read the way Ollama reads OLLAMA_HOST.

    Without a scheme the port defaults to 11434, with one to that scheme's own. An address that a server binds to for
    "every interface" cannot be called, so it becomes the loopback address. Raises `SettingsError`.
    """
    text = host.strip()
    if _is_ipv6(text):
        text = f"[{text}]"
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    default = {"http": 80, "https": 443}.get(scheme) if separator else DEFAULT_PORT
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        name, port = parts.hostname or "127.0.0.1", parts.port or default
    except ValueError as exc:
        raise SettingsError(f"{host!r} is no address of an Ollama server: {exc}", next_step=_HOST_HELP) from exc
    if port is None or re.search(r"[\s@]", rest):
        raise SettingsError(f"{host!r} is no address of an Ollama server", next_step=_HOST_HELP)
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)  # noqa: S104  # nothing is bound here
    shown = f"[{name}]" if _is_ipv6(name) else name
    path = parts.path.rstrip("/")
    return f"{scheme}://{shown}:{port}{path}"


_HOST_HELP = "give it as 127.0.0.1:11434 or http://host:port"


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def is_loopback(url: str) -> bool:
    """Whether calls to `url` stay on this machine."""
    name = urlsplit(url).hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def least_tokens(messages: Iterable[Message]) -> int:
    """A number of tokens that the prompt has at the very least: its words, as tokenizers split at white space.

    English has about 1.3 tokens a word, and scripts without spaces have far more, so this bound only ever errs low.
    """
    return sum(len(message.content.split()) for message in messages)


def chat_body(request: ChatRequest, *, think: bool | None, num_predict: int) -> dict[str, Any]:
    """The JSON of POST /api/chat. `think` None leaves the key out, which models that cannot think require."""
    options: dict[str, Any] = {
        "num_ctx": request.num_ctx,
        # 0 would mean "without end" on models that Ollama templates itself.
        "num_predict": max(1, num_predict),
        "temperature": request.temperature,
    }
    if request.seed is not None:
        options["seed"] = request.seed
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": message.role, "content": _sound(message.content)} for message in request.messages],
        "stream": True,
        # By default Ollama drops the oldest messages, then cuts what is left to about half the context, and reports
        # nothing. These two keys (servers since October 2025; older ones ignore them) turn that into a 400, and keep
        # the prompt's head from being shifted out while the reply grows: the reply ends with "length" instead.
        "truncate": False,
        "shift": False,
        "options": options,
        "keep_alive": keep_alive(request.keep_alive_s),
    }
    if request.schema is not None:
        body["format"] = stepped(request.schema)
    if think is not None:
        body["think"] = think
    return body


def load_body(model: str, num_ctx: int, keep_alive_s: float) -> dict[str, Any]:
    """The JSON of POST /api/generate that only loads: an empty prompt, and whatever a reload depends on as in a chat."""
    return {
        "model": model,
        "prompt": "",
        "stream": False,
        "truncate": False,
        "shift": False,
        "options": {"num_ctx": num_ctx},
        "keep_alive": keep_alive(keep_alive_s),
    }


def keep_alive(seconds: float) -> float:
    """How long a model stays loaded, as Ollama reads it: a number is seconds, 0 unloads after the reply.

    Below zero means for ever. So does what is too large for its clock, and for JSON: sent as it is, a number of
    seconds beyond 2^63 ns overflows there and unloads the model at once.
    """
    return seconds if math.isfinite(seconds) and seconds < _MOST_SECONDS else -1


@dataclass(frozen=True, slots=True)
class Done:
    """The last line of a reply. `prompt_tokens` is 0 where the server did not say."""

    reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    load_ms: float


@dataclass(frozen=True, slots=True)
class Delta:
    """One line of a reply; a whole reply in one line has text and `done`."""

    thinking: str = ""
    text: str = ""
    done: Done | None = None


def parse_chunk(part: Mapping[str, Any]) -> Delta:
    """Raises `EngineGarbled` for what is no line of a chat reply, or a last line that belongs to none."""
    message = part.get("message")
    done = part.get("done", False)
    if not isinstance(message, Mapping) or not isinstance(done, bool):
        raise _garbled(f"sent a line that belongs to no chat reply: {shown(part)}")
    delta = Delta(thinking=_text(message, "thinking"), text=_text(message, "content"))
    if not done:
        return delta
    # Servers before the key existed ended every reply as if by "stop".
    reason = part.get("done_reason", "stop")
    if reason in ("load", "unload"):
        raise _garbled(f"took the call as a request to {reason} the model: the prompt was empty")
    if reason not in ("stop", "length"):
        raise _garbled(f"ended the reply for an unknown reason: {shown(reason)}")
    end = Done(
        reason=reason,
        prompt_tokens=_count(part, "prompt_eval_count"),
        completion_tokens=_count(part, "eval_count"),
        load_ms=_count(part, "load_duration") / 1e6,
    )
    return Delta(thinking=delta.thinking, text=delta.text, done=end)


def check_json(text: str) -> None:
    """Raises `EngineGarbled` unless `text` is one JSON value; its shape is the grammar's work, repair the caller's."""
    try:
        json.loads(text)
    except ValueError as exc:
        raise EngineGarbled(
            f"the reply was to be JSON and is not ({exc}): {shown(text)}", next_step="resume the turn"
        ) from exc


def too_long(status: int, detail: str) -> PromptTooLong:
    return PromptTooLong(
        f"the prompt does not fit the model's context: {detail}",
        status=status,
        next_step="shorten the question, or give the profile a larger num_ctx",
    )


def check_uncut(prompt_tokens: int, least: int, num_ctx: int) -> None:
    """Raises `PromptTooLong` where a server without `truncate` must have cut the prompt: it read less than its words.

    A net below the first defence, for old servers only: a cut that leaves more tokens than the prompt had words passes.
    """
    if 0 < prompt_tokens < least:
        raise too_long(0, f"the engine read {prompt_tokens} tokens of at least {least} (num_ctx {num_ctx})")


def error_text(error: object) -> str:
    """The innermost message of Ollama's error, which may hold its runner's error as JSON text; without server paths."""
    for _ in range(8):
        if isinstance(error, Mapping):
            error = error.get("message") or error.get("error") or json.dumps(dict(error), default=str)
        elif isinstance(error, str) and error.lstrip().startswith("{"):
            try:
                error = json.loads(error)
            except ValueError:
                break
    return shown(error)


def shown(value: object) -> str:
    """`value` as one line fit for a message: paths gone, white space folded, at most 300 characters."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = " ".join(_PATH.sub("(a file of the server)", text).split())
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def refusal(error: object, *, status: int, model: str, partial: str = "") -> PeerError:
    """The error that an {"error": …} means. `status` is HTTP's, or -1 for a line of a stream that began with 200."""
    text = error_text(error)
    http = max(status, 0)
    if partial:
        return EngineBroke(f"the engine broke off in mid-reply: {text}", partial=partial, next_step="resume the turn")
    if _TOO_LONG.search(text) or _TOO_LONG.search(str(error)):
        return too_long(http, text)
    if _NO_MODEL.search(text):
        return ModelMissing(model)
    if status in (429, 503) or "server busy" in text:
        return EngineBusy(f"the engine's queue is full: {text}", next_step="wait a moment, then resume the turn")
    if status == 403 and not text:
        return EngineRefused(
            "the engine takes this call for one from a foreign host and forbids it",
            status=403,
            next_step="check the host, and OLLAMA_ORIGINS where Ollama runs",
        )
    if 300 <= status < 400 or status == 404 or text.startswith("<"):
        return EngineGarbled(f"what answers is not an Ollama server (HTTP {http}): {text}", next_step="check the host")
    if _NO_MEMORY.search(text):
        return EngineRefused(
            f"the model does not fit into memory: {text}", status=http, next_step="take a smaller model or num_ctx"
        )
    if status != 400 and (status < 0 or _RUNNER_DIED.search(text)):
        return EngineBroke(f"the model's process died: {text}", next_step="resume the turn; Ollama reloads the model")
    loading = "process has terminated" in text
    step = "see Ollama's log: the model would not load" if loading else "see Ollama's log, and the model's abilities"
    return EngineRefused(f"the engine refused the call (HTTP {http}): {text}", status=http, next_step=step)


def pull_refusal(error: object, *, status: int, model: str) -> PeerError:
    """The error that ended a download. Pull errors come as a line under HTTP 200 (`status` -1) or as an HTTP error."""
    text = error_text(error)
    http = max(status, 0)
    if _NO_NETWORK.search(text):
        return EngineUnreachable(
            f"Ollama could not reach the registry that has {model}: {text}",
            next_step=f"check the network, then: a4ps models pull {model}",
        )
    if "file does not exist" in text or "not found" in text:
        return EngineRefused(f"the registry has no model {model}: {text}", status=http, next_step="check its name")
    if "no space left" in text:
        return EngineRefused(f"Ollama's disk is full: {text}", status=http, next_step="free space, then pull again")
    return EngineRefused(f"Ollama could not fetch {model}: {text}", status=http, next_step="see Ollama's log")


def known_hole(version: str) -> str | None:
    """Why pulling with this Ollama is unsafe, or None. A pre-release counts as older than its release.

    Sources: CVE-2026-103663 (0.34.2 up to, not including, 0.35.0) and the GGUF reader's heap read fixed in 0.17.1.
    """
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)(-)?", version.strip())
    if match is None:
        return None
    number = tuple(int(part) for part in match.group(1, 2, 3))
    before = match.group(4) is not None
    if number < (0, 17, 1) or (number == (0, 17, 1) and before):
        return f"Ollama {version} reads memory beyond its buffer when a downloaded model file is crafted"
    if (0, 34, 2) <= number < (0, 35, 0) or (number == (0, 35, 0) and before):
        return f"Ollama {version} lets a crafted model write files outside its folder (CVE-2026-103663)"
    return None


def parse_version(payload: Mapping[str, Any]) -> str:
    version = payload.get("version")
    if not isinstance(version, str):
        raise EngineGarbled(f"what answers is not an Ollama server: {shown(payload)}", next_step="check the host")
    return version


def parse_models(payload: Mapping[str, Any]) -> tuple[ModelInfo, ...]:
    """What /api/tags lists. Raises `EngineGarbled`."""
    return tuple(
        ModelInfo(name=_text(entry, "name"), size_bytes=_count(entry, "size"), digest=_text(entry, "digest"))
        for entry in _entries(payload)
    )


def parse_residents(payload: Mapping[str, Any]) -> tuple[Resident, ...]:
    """What /api/ps lists: models that are loaded; one that is loading is not among them. Raises `EngineGarbled`."""
    return tuple(
        Resident(
            name=_text(entry, "name"),
            size_bytes=_count(entry, "size"),
            vram_bytes=_count(entry, "size_vram"),
            num_ctx=_count(entry, "context_length"),
            digest=_text(entry, "digest"),
        )
        for entry in _entries(payload)
    )


def parse_card(payload: Mapping[str, Any], info: ModelInfo) -> ModelCard:
    """What /api/show tells of a model, with size and digest from the list. Raises `EngineGarbled`.

    Ollama leaves the vocabulary out of `model_info`: its keys are there with null, which is no value of theirs.
    """
    told = payload.get("model_info") or {}
    if not isinstance(told, Mapping):
        raise _garbled(f"sent model_info as {type(told).__name__}, not as an object")
    metadata = {key: value for key, value in told.items() if isinstance(key, str) and value is not None}
    architecture = _text(metadata, "general.architecture")
    return ModelCard(
        name=info.name,
        architecture=architecture,
        weights_bytes=info.size_bytes,
        base=_blob(payload, "FROM") or info.name,
        lora=_blob(payload, "ADAPTER"),
        context_length=_count(metadata, f"{architecture}.context_length"),
        digest=info.digest,
        capabilities=parse_capabilities(payload),
        layout=_layout(payload, info.size_bytes),
    )


def _blob(payload: Mapping[str, Any], instruction: str) -> str:
    """The digest of the file that a Modelfile's `instruction` names, "" for none: names of the same one share a runner."""
    found = re.search(rf"^{instruction} .*sha256-([0-9a-f]{{64}})", _text(payload, "modelfile"), re.MULTILINE)
    return found[1] if found else ""


def _layout(payload: Mapping[str, Any], size_bytes: int) -> Layout | None:
    try:
        return layout_of_show(payload, size_bytes)
    except ModelFileBad:
        return None  # an architecture that is not known here: its memory is reckoned from its size


def embed_body(model: str, texts: Sequence[str]) -> dict[str, Any]:
    """The JSON of POST /api/embed. A text without any character has no vector there, so a full stop stands for it."""
    return {"model": model, "input": [_sound(text) if text.strip() else "." for text in texts], "truncate": False}


def parse_vectors(payload: Mapping[str, Any], count: int) -> tuple[tuple[float, ...], ...]:
    """What /api/embed answers to `count` texts. Raises `EngineGarbled` unless it is as many vectors of one length."""
    listed = payload.get("embeddings")
    if not isinstance(listed, list) or len(listed) != count:
        raise _garbled(f"was asked for {count} vectors and sent {shown(listed)}")
    vectors = []
    for entry in listed:
        numbers = isinstance(entry, list) and all(type(number) in (int, float) for number in entry)
        if not numbers or not entry or len(entry) != len(listed[0]) or not all(map(math.isfinite, entry)):
            raise _garbled(f"sent a vector that is none: {shown(entry)}")
        vectors.append(tuple(map(float, entry)))
    return tuple(vectors)


def parse_capabilities(payload: Mapping[str, Any]) -> frozenset[str]:
    """What /api/show says the model can do; servers before the key existed say nothing."""
    listed = payload.get("capabilities") or []
    return frozenset(item for item in listed if isinstance(item, str)) if isinstance(listed, list) else frozenset()


def parse_progress(part: Mapping[str, Any]) -> PullProgress:
    status = part.get("status")
    if not isinstance(status, str):
        raise _garbled(f"sent a line that belongs to no download: {shown(part)}")
    return PullProgress(status=status, completed_bytes=_count(part, "completed"), total_bytes=_count(part, "total"))


def _garbled(what: str) -> EngineGarbled:
    return EngineGarbled(f"the engine {what}", next_step="see that the host is an Ollama server of a current version")


def _entries(payload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = payload.get("models", ())
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(isinstance(entry, Mapping) for entry in listed):
        raise _garbled(f"sent a list of models that is none: {shown(payload)}")
    return listed


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _garbled(f"sent {key} as {type(value).__name__}, not as text")
    return _sound(value)


def _sound(text: str) -> str:
    """`text` without half surrogates, which JSON can spell but UTF-8, and so neither wire nor disk, can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _count(fields: Mapping[str, Any], key: str) -> int:
    value = fields.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _garbled(f"sent {key} as {shown(value)}, not as a count")
    return value
