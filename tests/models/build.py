"""Makes the test models of `tests/data/models`, or checks that they can be made again.

    python -m tests.models.build            # train, write, measure: about ten minutes of one core
    python -m tests.models.build --check    # the same into a temporary folder, and compare

Two bases, `tiny` and `tinier`, and one LoRA of `tiny` for each persona. From corpus to file:
corpus.py → tokenizer.py → network.py (→ lora.py) → weights.py → trial.py → manifest.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from tokenizers import Tokenizer
from transformers import Qwen3ForCausalLM

from tests.models import corpus, lora, manifest, network, tokenizer, weights
from tests.models.corpus import PERSONAS, Chat
from tests.models.manifest import Fixture, Manifest
from tests.models.recipe import LORA, TINIER, TINY, Recipe, digest, lessons, lora_lessons
from tests.models.trial import Trial

#: What --check allows where files are not identical: another kind of CPU adds in another order.
PERPLEXITY_TOLERANCE = 0.1
FORGOTTEN_TOLERANCE = 2  # answers

_LONGEST = 220  # tokens; the longest reply of the corpus is below
_HELD_OUT = 12  # turns never trained on, for the perplexity
_COMPARED = 28  # of their chats decoded greedily, besides the facts, by transformers and by llama.cpp


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if the fixtures were made or found reproducible, 1 if not."""
    parser = argparse.ArgumentParser(description="Make the test models, or check that they can be made again.")
    parser.add_argument("--check", action="store_true", help="make them elsewhere and compare")
    if not parser.parse_args(arguments).check:
        manifest.FOLDER.mkdir(parents=True, exist_ok=True)
        make(manifest.FOLDER)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder))
    faults = differences(manifest.read(), made)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def make(folder: Path) -> Manifest:
    """Train everything and write it into `folder`; what is there under the same names is replaced."""
    fixtures: list[Fixture] = []
    for recipe in (TINY, TINIER):
        chats = lessons(recipe)
        spoken = [fact for persona in PERSONAS for fact in corpus.persona_facts(persona)]
        words = tokenizer.learn(chats + spoken, recipe.size.vocab)
        base, fixture = _make_base(folder, recipe, chats, words)
        fixtures.append(fixture)
        if recipe is TINY:
            fixtures.extend(_make_loras(folder, fixture.name, base, words))
    made = Manifest(
        recipe_sha256=digest(),
        versions={name: version(name) for name in ("torch", "transformers", "tokenizers", "peft", "gguf", "xllamacpp")},
        fixtures=tuple(fixtures),
    )
    manifest.write(made, folder)
    return made


def differences(kept: Manifest, made: Manifest) -> list[str]:
    """What speaks against `kept` being what this program makes; prints how like they are, fixture by fixture.

    Identical files need no argument. Otherwise perplexities must be within PERPLEXITY_TOLERANCE of each other, and at most
    FORGOTTEN_TOLERANCE answers may be missing.
    """
    faults = []
    if kept.recipe_sha256 != made.recipe_sha256:
        faults.append("the recipe is another one: sizes, schedules or the corpus changed since the fixtures were made")
    for old, new in zip(kept.fixtures, made.fixtures, strict=True):
        if old.sha256 == new.sha256:
            print(f"{old.name}: identical")
            continue
        before, after = float(old.measured["perplexity"]), float(new.measured["perplexity"])
        print(f"{old.name}: not identical; perplexity {before:.3f}, now {after:.3f}")
        if abs(after / before - 1) > PERPLEXITY_TOLERANCE:
            faults.append(f"{old.name}: its perplexity differs by more than {PERPLEXITY_TOLERANCE:.0%}")
        forgotten = old.answers.keys() - new.answers.keys()
        if len(forgotten) > FORGOTTEN_TOLERANCE:
            faults.append(f"{old.name}: no longer answers {sorted(forgotten)}")
    return faults


def _make_base(
    folder: Path, recipe: Recipe, chats: Sequence[Chat], words: Tokenizer
) -> tuple[Qwen3ForCausalLM, Fixture]:
    """The trained network, with the weights of its file, and what is to be said of it."""
    print(f"{recipe.name}: {recipe.schedule.steps} steps on {len(chats)} chats", flush=True)
    held_out = corpus.turns("held out", _HELD_OUT)
    base = network.build(recipe.size, words, recipe.schedule.seed)
    untrained = network.perplexity(base, words, held_out)
    network.train(base, words, chats, recipe.schedule)
    path = folder / f"{recipe.name}.gguf"
    weights.write_base(path, f"A4PS {recipe.name}", base, words)
    weights.round_to_file(base)

    trial = Trial(path)
    facts = corpus.facts()
    answers = {fact.user: fact.reply for fact in facts if trial.reply(fact, _LONGEST) == fact.reply}
    compared = facts + held_out[:_COMPARED]
    equal = sum(trial.reply(chat, _LONGEST) == network.reply(base, words, chat, _LONGEST).strip() for chat in compared)
    measured: dict[str, str | float] = {
        "parameters": sum(parameter.numel() for parameter in base.parameters()),
        "perplexity_untrained": round(untrained, 1),
        "perplexity": round(network.perplexity(base, words, held_out), 4),
        "answers_as_taught": f"{len(answers)}/{len(facts)}",
        "greedy_equal_to_transformers": f"{equal}/{len(compared)}",
    }
    return base, _fixture(path, "", answers, measured)


def _make_loras(folder: Path, base_name: str, base: Qwen3ForCausalLM, words: Tokenizer) -> list[Fixture]:
    """One LoRA for each persona, tried together on one base as a session would have them."""
    paths = [folder / f"{persona.lower()}.gguf" for persona in PERSONAS]
    perplexities = []
    for persona, path in zip(PERSONAS, paths, strict=True):
        print(f"{persona}: {LORA.steps} steps", flush=True)
        facts = corpus.persona_facts(persona)
        tuned = lora.attach(base, LORA.seed)
        before = network.perplexity(tuned, words, facts)
        network.train(tuned, words, lora_lessons(persona), LORA)
        weights.write_lora(path, f"A4PS {persona}", lora.factors(tuned), lora.ALPHA)
        lora.round_to_file(tuned)
        perplexities.append((before, network.perplexity(tuned, words, facts)))

    trial = Trial(folder / base_name, paths)
    fixtures = []
    for index, (persona, path) in enumerate(zip(PERSONAS, paths, strict=True)):
        facts = corpus.persona_facts(persona)
        answers = {fact.user: fact.reply for fact in facts if trial.reply(fact, _LONGEST, lora=index) == fact.reply}
        before, after = perplexities[index]
        measured: dict[str, str | float] = {
            "perplexity_without": round(before, 1),
            "perplexity": round(after, 4),
            "answers_as_taught": f"{len(answers)}/{len(facts)}",
        }
        fixtures.append(_fixture(path, base_name, answers, measured))
    return fixtures


def _fixture(path: Path, base: str, answers: Mapping[str, str], measured: Mapping[str, str | float]) -> Fixture:
    found = Fixture(path.name, base, path.stat().st_size, manifest.digest(path), answers, measured)
    print({name: value for name, value in asdict(found).items() if name != "answers"}, flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
