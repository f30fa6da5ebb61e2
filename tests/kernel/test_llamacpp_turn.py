"""A whole turn by real inference: four personas, one base and four LoRAs in one worker, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest

from a4ps.inference.llamacpp import LlamaCppEngine
from a4ps.personas.roster import NAMES
from a4ps.society.progress import Progress
from tests.doubles.kernels import open_kernel
from tests.doubles.workers import workers
from tests.models import manifest

MODELS = {name: f"tiny+{name.lower()}" for name in NAMES}


@pytest.mark.slow
async def test_a_turn_is_held_by_one_worker_from_plan_to_synthesis(tmp_path: Path) -> None:
    engine = LlamaCppEngine(manifest.FOLDER, models=MODELS.values())
    seen: set[int] = set()

    def look(progress: Progress) -> None:
        seen.update(workers())

    async with open_kernel(tmp_path, engine, models=MODELS, num_ctx=4096) as kernel:
        for question in ("Should we take the train or the car?", "Count to 10."):
            answered = await kernel.ask(question, look)
            assert answered.reply.answer.strip()
            assert answered.turn.engine == "llamacpp"
        assert {info.name for info in await engine.loaded()} == {"tiny", *MODELS.values()}
    assert len(seen) == 1, "a persona's LoRA cost a load"
    assert not workers(), "the kernel closed without its engine"
