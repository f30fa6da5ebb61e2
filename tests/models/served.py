"""What the test models do in llama.cpp, run in a process of its own and told as one JSON object on stdout.

A process of its own, since llama.cpp can hang or crash and its memory is only seen from outside of other tests' memory.
"""

from __future__ import annotations

import gc
import json
import resource
from pathlib import Path
from typing import Any

from tests.models import corpus, manifest
from tests.models.trial import Trial

WHO, SIGNS, LONG = "Who are you?", "Show me your signs.", "Count to 60."
SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["trifle", "memory", "question"]}, "say": {"type": "string", "maxLength": 60}},
    "required": ["kind", "say"],
}


def main() -> None:
    known = manifest.read()
    tiny, tinier = (known[name].path for name in ("tiny.gguf", "tinier.gguf"))
    loras = [lora.path for lora in known.loras()]
    told: dict[str, Any] = {"memory": _memory(tiny, loras)}
    first, second = Trial(tiny, loras), Trial(tinier)
    told["two bases"] = [
        {question: base.reply(corpus.Chat(question, ""), 220) for question in known[name].answers}
        for base, name in ((first, "tiny.gguf"), (second, "tinier.gguf"), (first, "tiny.gguf"))
    ]
    questions = [fact.user for fact in corpus.persona_facts(corpus.PERSONAS[0])]
    in_blocks = [(index, question) for index in range(len(loras)) for question in questions]
    in_turns = [(index, question) for question in questions for index in (0, None, 1, 2, None, 3)]
    told["switching"] = [
        [index, question, first.reply(corpus.Chat(question, ""), 60, lora=index)]
        for index, question in in_blocks + in_turns
    ]
    told["pieces"] = first.pieces(corpus.Chat(SIGNS, ""))
    told["cut short"] = first.pieces(corpus.Chat(LONG, ""), stop_after=5)
    told["shape"] = first.shaped(corpus.Chat("Reply as JSON.", ""), SCHEMA)
    told["embeddings"] = Trial(tiny, embedding=True).embed([WHO, WHO, LONG])
    print(json.dumps(told))


def _memory(base: Path, loras: list[Path]) -> list[int]:
    """Resident bytes after each of eight times that a base with its LoRAs was loaded, used and let go."""
    resident = []
    for _ in range(8):
        trial = Trial(base, loras)
        trial.reply(corpus.Chat(WHO, ""), 1)
        del trial
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        resident.append(pages * resource.getpagesize())
    return resident


if __name__ == "__main__":
    main()
