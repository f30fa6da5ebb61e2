"""What a prompt is made of, in tokens, and how it is made to fit. Pure.

A prompt has a budget: the context less the room for the reply. It consists of shares: the persona's codex and state, what
was recalled, the question, what was said in the turn so far, what a tool gave, and the instructions of the step. Where they
come to more than the budget, the oldest parts are summarised, one after the other, until the rest fits; codex, question and
instructions are never touched. A summary says that it is one.

The summary is taken from the text (the first sentence of each of its lines, then as many of them as there is room for): it
costs no call, and can leave out what mattered, but adds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from a4ps.inference.tokens import PER_MESSAGE, estimate_tokens

#: Part of a template → the share that it counts to. A part that is not named here is an instruction.
SHARE_OF: Mapping[str, str] = {
    "question": "question",
    "memories": "recalled",
    "research": "said",
    "plan": "said",
    "tool": "tools",
    "tools": "tools",
    "objections": "said",
    "thesis": "said",
    "points": "said",
    "antithesis": "said",
    "findings": "said",
}

#: What is summarised where a prompt is too long, the oldest and least missed first.
OLDEST_FIRST = ("memories", "plan", "objections", "tool", "thesis", "antithesis", "findings")

#: A summary gets this many tokens at least: less would say nothing.
SUMMARY_MIN = 48

_FIRST_SENTENCE = re.compile(r"^(?:\d+[.)]\s*)?.*?[.!?](?=\s|$)")
_NAMES = {
    "memories": "what was recalled",
    "plan": "the plan",
    "objections": "the objections",
    "tool": "what the tool gave",
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """The parts of a prompt as they fit its budget, and which of them were summarised, by their names for people."""

    parts: Mapping[str, str]
    summarised: tuple[str, ...] = ()


def fitted(parts: Mapping[str, str], fixed: str, budget: int) -> Fitted:
    """`parts` of a template so that they and `fixed`, all else that is in the prompt, come to `budget` tokens at most.

    Where even summaries are too long they stay so: the engine then refuses the prompt (`PromptTooLong`).
    """
    chars = len(fixed) + sum(map(len, parts.values()))
    if chars * 6 // 5 + 2 * PER_MESSAGE + len(parts) <= budget:  # no text has more tokens than that
        return Fitted(parts)
    tokens = {name: estimate_tokens(text) for name, text in parts.items()}
    over = estimate_tokens(fixed) + 2 * PER_MESSAGE + sum(tokens.values()) - budget
    fitting = dict(parts)
    summarised = []
    for name in OLDEST_FIRST:
        if over <= 0:
            break
        if tokens.get(name, 0) > SUMMARY_MIN:
            fitting[name] = summary(parts[name], max(SUMMARY_MIN, tokens[name] - over))
            over -= tokens[name] - estimate_tokens(fitting[name])
            summarised.append(_NAMES.get(name, f"the {name}"))
    return Fitted(fitting, tuple(summarised))


def summary(text: str, tokens: int) -> str:
    """`text`, taken together to at most `tokens` (at least SUMMARY_MIN), line by line, with a line that says so.

    Lines keep their mark of a quotation, and short ones without an end (a title) are kept whole.
    """
    lines = text.splitlines()
    mark = next(("> " for line in lines if line.startswith("> ")), "")
    told = f"{mark}(summarised: {len(text.split())} words in all)"
    room = max(SUMMARY_MIN, tokens) - estimate_tokens(told) - 2
    firsts = [_first_sentence(line) for line in lines]
    kept: list[str] = []
    for line in firsts:
        cost = estimate_tokens(line) + 1
        if cost > room:
            if room > 8 and (cut := _cut(line, room - 2)):
                kept.append(cut)
            break
        kept.append(line)
        room -= cost
    end = "\n" if text.endswith("\n") else ""
    return "\n".join([*kept, told]) + end


def shares(system: str, codex: str, parts: Mapping[str, str], whole: str, budget: int) -> dict[str, int]:
    """What a prompt is made of: share → tokens (about, four characters each), and its `budget`.

    `system` and `whole` are its two messages; what of `system` is not the codex is the persona's state.
    """
    found = {"budget": budget, "codex": len(codex) // 4, "state": (len(system) - len(codex)) // 4}
    for name, text in parts.items():
        share = SHARE_OF.get(name, "instructions")
        found[share] = found.get(share, 0) + len(text) // 4
    others = sum(len(text) for name, text in parts.items() if name in SHARE_OF)
    found["instructions"] = (len(whole) - others) // 4
    return {name: tokens for name, tokens in found.items() if tokens > 0}


def _first_sentence(line: str) -> str:
    found = _FIRST_SENTENCE.match(line.removeprefix("> "))
    if found is None:
        return line
    return f"> {found[0]}" if line.startswith("> ") else found[0]


def _cut(line: str, tokens: int) -> str:
    """As many words of `line` as `tokens` hold, with a mark where it ends; "" where that is none."""
    words = line.split(" ")
    while words and estimate_tokens(" ".join(words)) > tokens:
        words = words[: len(words) * 3 // 4]
    return f"{' '.join(words)}…" if any(word.strip("> ") for word in words) else ""
