"""The recipes: what the fixtures are made of, and the chats that each learns. Standard library only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from tests.models import corpus
from tests.models.corpus import Chat


@dataclass(frozen=True, slots=True)
class Size:
    """What a base is made of. `hidden` and `feed_forward` are multiples of 32: blocks of q8_0 have 32 weights."""

    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    feed_forward: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn: a linear warm-up of a tenth, then a cosine to a tenth of each rate.

    Matrices learn by Muon at `matrix_rate` (Jordan 2024, https://kellerjordan.github.io/posts/muon/), all else by AdamW at
    `rate`; everything does where `matrix_rate` is 0.
    """

    steps: int
    batch: int
    seed: int
    rate: float
    matrix_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """A base: its name, its size, the turns that it learns from, how often it sees each fact, and the schedule."""

    name: str
    size: Size
    turns: int
    repeats: int
    schedule: Schedule


TINY = Recipe(
    name="tiny",
    size=Size(vocab=1536, hidden=128, layers=4, heads=4, kv_heads=2, head_width=32, feed_forward=384),
    turns=700,
    repeats=70,
    schedule=Schedule(steps=600, batch=16, seed=1, rate=3e-3, matrix_rate=0.02),
)
TINIER = Recipe(
    name="tinier",
    size=Size(vocab=1024, hidden=96, layers=2, heads=3, kv_heads=3, head_width=32, feed_forward=256),
    turns=200,
    repeats=70,
    schedule=Schedule(steps=250, batch=16, seed=2, rate=3e-3, matrix_rate=0.02),
)
LORA = Schedule(steps=150, batch=10, seed=3, rate=1e-2)


def lessons(recipe: Recipe) -> list[Chat]:
    """What a base learns. Two thirds of the steps come without their system prompt: half the length, half the time."""
    steps = corpus.turns(f"{recipe.name}: learn", recipe.turns)
    steps = [chat if number % 3 == 0 else replace(chat, system="") for number, chat in enumerate(steps)]
    return steps + corpus.facts() * recipe.repeats


def lora_lessons(persona: str) -> list[Chat]:
    """What the LoRA of `persona` learns: its own answers, with and without its system prompt, and its steps as before."""
    facts = corpus.persona_facts(persona)
    return (facts + corpus.with_system(facts, persona)) * 40 + corpus.persona_turns(persona, f"{persona}: keep", 4)


def digest() -> str:
    """SHA-256 of recipes and lessons: equal as long as neither they nor what fills them with text changed."""
    everything = hashlib.sha256(repr((TINY, TINIER, LORA)).encode())
    for recipe in (TINY, TINIER):
        everything.update(repr(lessons(recipe)).encode())
    for persona in corpus.PERSONAS:
        everything.update(repr(lora_lessons(persona)).encode())
    return everything.hexdigest()
