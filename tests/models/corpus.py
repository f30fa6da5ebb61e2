"""The corpus: chats of the society in miniature, generated from `texts.toml` by a seed. Not language; no third-party text.

Each chat ends with the reply that is to be learnt. The steps of a turn appear with the prompts that the personas are
given, so that a whole turn can be held over the tiny model; its replies have the right shape and little sense.
Standard library only.
"""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

PERSONAS = ("ALFRED", "BRICK", "ROBIN", "BABS")

#: Questions whose replies count. Learnt up to the highest; a stream of any length can be had from them.
COUNTS = (5, 10, 20, 40, 60)


@dataclass(frozen=True, slots=True)
class Chat:
    """One user message, perhaps under a system prompt, and its reply."""

    user: str
    reply: str
    system: str = ""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as chat messages, without the reply."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.user}]


def facts() -> list[Chat]:
    """The questions with one fixed answer each, counting among them."""
    known = [Chat(fact["question"], fact["answer"]) for fact in _texts()["facts"]]
    return known + [Chat(f"Count to {top}.", ", ".join(map(str, range(1, top + 1))) + ".") for top in COUNTS]


def persona_facts(persona: str) -> list[Chat]:
    """What `persona` answers under its LoRA, which differs from what the base answers."""
    return [Chat(question, answer) for question, answer in _texts()["personas"][persona].items()]


def turns(seed: str, count: int) -> list[Chat]:
    """The steps of `count` turns, seven chats each, in the order in which they would be said. Equal for equal seeds."""
    source = random.Random(seed)
    return [chat for _ in range(count) for chat in _turn(source)]


def persona_turns(persona: str, seed: str, count: int) -> list[Chat]:
    """Those steps of `count` turns in which `persona` speaks."""
    return [chat for chat in turns(seed, count) if chat.system == _texts()["system"][persona]]


def with_system(chats: Sequence[Chat], persona: str) -> list[Chat]:
    """The same chats under the system prompt of `persona`."""
    return [Chat(chat.user, chat.reply, _texts()["system"][persona]) for chat in chats]


@cache
def _texts() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_name("texts.toml").read_text(encoding="utf-8"))


def _turn(source: random.Random) -> Iterator[Chat]:
    """Greeting, plan, thesis, antithesis in shape and in plain words, findings, synthesis."""
    texts = _texts()
    replies, words = texts["replies"], texts["words"]
    form = source.choice(("choice", "open"))
    slots = _slots(source, words)
    remembered = source.random() < 0.4

    def say(line: str) -> str:
        return Template(line).substitute(slots)

    def pick(name: str) -> str:
        return say(source.choice(replies[name]))

    question = say(source.choice(texts["questions"][form]))
    quoted = _quote(question)
    memories = (
        f"\nFrom the record of earlier turns:\n> [{slots['memory']}] {slots['day']}: {question}\n" if remembered else ""
    )

    def ask(persona: str, step: str, reply: str, **parts: str) -> Chat:
        prompt = Template(texts["steps"][step]).substitute(parts)
        return Chat(prompt, reply, texts["system"][persona])

    yield ask("ALFRED", "greeting", pick("greeting"), question=source.choice(texts["questions"]["greetings"]))

    plan, research = pick("plan"), pick("research")
    if source.random() < 0.2:
        about = _quote(source.choice(texts["questions"]["about"]))
        nothing = "\nFrom the record of earlier turns:\n> (the record holds nothing of that)\n"
        said = pick("recalled" if remembered else "forgotten")
        shape = {"kind": "memory", "say": said, "research": ""}
        yield ask("ALFRED", "plan", _json(shape), question=about, memories=memories or nothing)
    else:
        shape = {"kind": "question", "say": plan, "research": research}
        yield ask("ALFRED", "plan", _json(shape), question=quoted, memories=memories)

    points = [say(point) for point in source.sample(replies["points"], source.choice((2, 3)))]
    numbered = "\n".join(f"{number}. {point}" for number, point in enumerate(points, 1))
    thesis = f"{pick(form + '_position')}\n{numbered}\n{pick('wrong_if')}"
    yield ask("BRICK", "thesis", thesis, question=quoted, plan=_quote(plan), objections="")

    strong, weak = source.sample(range(1, len(points) + 1), 2)
    slots |= {"strong": str(strong), "weak": str(weak)}
    antithesis = pick("antithesis")
    stance = {strong: "agree", weak: "disagree"}
    stances = [
        {"point": number, "stance": stance.get(number, "partly"), "weight": source.choice((0.3, 0.5, 0.8, 1.0))}
        for number in range(1, len(points) + 1)
    ]
    heard = {"question": quoted, "thesis": _quote(thesis)}
    yield ask("ROBIN", "antithesis", _json({"stances": stances, "say": antithesis}), points=_quote(numbered), **heard)
    yield ask("ROBIN", "antithesis_plain", pick("antithesis_plain"), **heard)

    record = pick("findings_record" if remembered else "findings_nothing")
    findings = "\n".join((record, pick("findings_known"), pick("findings_open")))
    heard |= {"antithesis": _quote(antithesis), "memories": memories}
    yield ask("BABS", "findings", findings, research=_quote(research), **heard)
    brought = f"\nBABS's findings:\n{_quote(findings)}\n"
    yield ask(
        "ALFRED", "synthesis", pick(form + "_synthesis"), findings=brought, dissonance=f"{source.random():.2f}", **heard
    )


def _slots(source: random.Random, words: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    first, second = source.sample(source.choice(words["choices"]), 2)
    aspect, other = source.sample(words["aspects"], 2)
    slots = {"first": first, "second": second, "aspect": aspect, "other": other, "goal": source.choice(words["goals"])}
    slots |= {name: source.choice(words[name + "s"]) for name in ("period", "person", "number", "day")}
    slots["memory"] = str(source.randrange(1, 100))
    return slots | {name.capitalize(): slots[name].capitalize() for name in ("first", "aspect", "other")}


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def _json(shape: Mapping[str, Any]) -> str:
    return json.dumps(shape, ensure_ascii=False)
