"""The rehearsal engine: no weights, no reasoning, the same words for the same question.

It lets a newcomer see the society at work before a model is installed, and says that it is a rehearsal. It proves
nothing about inference: its turns are marked, are never golden, and are not recalled once a real engine speaks. Its
lines are data (`rehearsal.toml`), filled with words of the question. What embeds is the lexical embedding, by its name.
"""

from __future__ import annotations

import json
import re
import tomllib
import zlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template
from typing import Any

from a4ps.errors import EngineRefused, ModelMissing, PromptTooLong, Unsupported
from a4ps.inference import lexical
from a4ps.inference.calls import WEIGHTLESS
from a4ps.inference.engine import (
    ChatRequest,
    Chunk,
    EngineStatus,
    Finished,
    JsonSchema,
    ModelCard,
    ModelInfo,
    PullProgress,
    Resident,
    Text,
)
from a4ps.inference.tokens import estimate_prompt

MODEL = "rehearsal"
_ABILITIES = {MODEL: frozenset({"completion"}), lexical.NAME: frozenset({"embedding"})}

_OPTIONS = re.compile(
    r"(?:\b(?:learn|use|choose|take|pick|buy|try|be|in|to|between|with|do|a|an|the)\s+)?"
    r"(?<![\w+#.-])([\w+#.-]{1,40}(?:\s[\w+#.-]{1,40})?)\s+(?:or|versus|vs\.?)\s+((?:a |an |the )?[\w+#.-]{1,40})",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"^> ?(.*)$", re.MULTILINE)
_RECORD = re.compile(r"^> (\[(\d+)\] .*)$", re.MULTILINE)
_NOTHING = "> (the record holds nothing"
_PAST = re.compile(
    r"\b(did|have|had|was|were)\b.{0,60}\b(i|we|you)\b|\b(i|we|you)\b.{0,60}\b(asked|said|told)\b", re.IGNORECASE
)
_PIECES = re.compile(r"\s*\S+|\s+$")


class RehearsalEngine:
    """Passes the engine contract without a model. `schema` replies fill the shape with the same lines."""

    name = MODEL
    cost = WEIGHTLESS

    async def status(self) -> EngineStatus:
        return EngineStatus(True, detail="no model: rehearses with prepared lines")

    async def models(self) -> tuple[ModelInfo, ...]:
        return tuple(ModelInfo(name) for name in _ABILITIES)

    async def inspect(self, model: str) -> ModelCard:
        if model not in _ABILITIES:
            raise ModelMissing(model)
        return ModelCard(model, architecture=MODEL, weights_bytes=0, base=model, capabilities=_ABILITIES[model])

    async def load(self, model: str, *, num_ctx: int, keep_alive_s: float) -> None:
        """There is nothing to load."""
        del num_ctx, keep_alive_s
        if model not in _ABILITIES:
            raise ModelMissing(model)

    async def loaded(self) -> tuple[Resident, ...]:
        """Nothing: there is nothing to load."""
        return ()

    async def unload(self, model: str) -> None:
        """Nothing is in memory, so nothing is done."""

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """Only as the model "lexical"; see `lexical.py`."""
        if model not in _ABILITIES:
            raise ModelMissing(model)
        if model != lexical.NAME:
            raise EngineRefused(f"{model} cannot embed", next_step=f"name the embedder {lexical.NAME}")
        return lexical.embed_all(texts)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        if request.model == lexical.NAME:
            raise EngineRefused(f"{lexical.NAME} only embeds", next_step=f"name the model {MODEL}")
        if request.model != MODEL:
            raise ModelMissing(request.model)
        prompt_tokens = estimate_prompt(request.messages)
        if prompt_tokens > request.num_ctx:
            raise PromptTooLong(
                f"the prompt is about {prompt_tokens} tokens long; the context holds {request.num_ctx}",
                next_step="ask about a shorter text, or raise num_ctx",
            )
        line = _Line.of(request)
        whole = line.text if request.schema is None else json.dumps(line.shaped(request.schema), ensure_ascii=False)
        pieces = _PIECES.findall(whole)
        for piece in pieces[: request.max_tokens]:
            yield Text(piece)
        reason = "length" if len(pieces) > request.max_tokens else "stop"
        yield Finished(reason, prompt_tokens, min(len(pieces), request.max_tokens))  # type: ignore[arg-type]

    def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        raise Unsupported(
            f"the rehearsal engine cannot fetch {model}: it has no models",
            next_step="install Ollama, then: a4ps models pull",
        )

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What is said to one request: the step's line with the question's words, and stances where they are asked for."""

    text: str
    kind: str
    research: str
    seed: int

    @classmethod
    def of(cls, request: ChatRequest) -> _Line:
        prompt = request.messages[-1].content if request.messages else ""
        question = _question(prompt)
        seed = zlib.crc32(question.encode("utf-8", "replace"))
        words = _words(question, seed)
        form = "choice" if "first" in words else "open"
        record = _RECORD.findall(prompt)
        if request.step == "plan" and _NOTHING in prompt:
            return cls(_fill(_script()["memory"]["nothing"], {}, seed), "memory", "", seed)
        if request.step == "plan" and record and _PAST.search(question):
            lines = "\n".join(text for text, _ in record)
            return cls(_fill(_script()["memory"]["lines"], {"record": lines}, seed), "memory", "", seed)
        research = _fill(_script()["research"][form]["lines"], words, seed)
        return cls(_said(request.step, form, words, record, seed), "question", research, seed)

    def shaped(self, schema: JsonSchema) -> Any:
        """An instance of `schema`; the keys that the society uses get their meaning, others a filler of their type."""
        return _instance(schema, schema.get("$defs", {}), self, "", 0)


def _said(step: str, form: str, words: Mapping[str, str], record: Sequence[tuple[str, str]], seed: int) -> str:
    script = _script()
    if step == "findings":
        numbers = ", ".join(f"[{number}]" for _, number in record)
        first = Template(script["findings"]["record" if record else "nothing"]).safe_substitute(words, numbers=numbers)
        return "\n".join([first, *(Template(line).safe_substitute(words) for line in script["findings"]["lines"])])
    part = script.get(step, script["greeting"])
    return _fill(part["lines"] if "lines" in part else part[form]["lines"], words, seed)


def _fill(lines: Sequence[str], words: Mapping[str, str], seed: int) -> str:
    return Template(lines[seed % len(lines)]).safe_substitute(words)


@cache
def _script() -> Mapping[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("rehearsal.toml").read_text(encoding="utf-8"))


def _question(prompt: str) -> str:
    """The question: the first quotation of a step's prompt, else the prompt itself."""
    quoted = []
    for line in prompt.splitlines():
        match = _QUOTED.match(line)
        if match:
            quoted.append(match[1])
        elif quoted:
            break
    return " ".join(quoted) or prompt


def _words(question: str, seed: int) -> dict[str, str]:
    aspects = _script()["aspects"]
    words = {"aspect": aspects[seed % len(aspects)], "topic": _topic(question)}
    options = _OPTIONS.search(question)
    if options:
        words |= {"first": options[1].split()[-1].strip(".,"), "second": options[2].strip(".,")}
    return words


def _topic(question: str) -> str:
    longest = sorted(set(re.findall(r"[^\W\d_]{4,}", question)), key=lambda word: (-len(word), word))[:2]
    return " and ".join(f"“{word}”" for word in longest) or "your question"


def _instance(schema: Mapping[str, Any], defs: Mapping[str, Any], line: _Line, key: str, index: int) -> Any:
    if "$ref" in schema:
        schema = defs[schema["$ref"].rsplit("/", 1)[-1]]
    if "enum" in schema:
        choices = schema["enum"]
        return line.kind if line.kind in choices else choices[(line.seed // (3**index)) % len(choices)]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "object":
            return {
                name: _instance(part, defs, line, name, index) for name, part in schema.get("properties", {}).items()
            }
        case "array":
            count = max(schema.get("minItems", 0), min(3, schema.get("maxItems", 3)))
            return [_instance(schema.get("items", {}), defs, line, key, position) for position in range(count)]
        case "integer":
            return int(_bounded(schema, index + 1))
        case "number":
            return _bounded(schema, (1 + (line.seed >> index) % 4) / 4)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return line.research if key == "research" else line.text


def _bounded(schema: Mapping[str, Any], wanted: float) -> float:
    return float(max(schema.get("minimum", wanted), min(schema.get("maximum", wanted), wanted)))
