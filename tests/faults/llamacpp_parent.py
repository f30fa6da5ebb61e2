"""A backend that is to be killed: `python -m tests.faults.llamacpp_parent FOLDER MODEL` says its worker's pid and waits."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from a4ps.inference.engine import ChatRequest, Message, Text
from a4ps.inference.llamacpp import LlamaCppEngine
from tests.doubles.workers import workers


async def main(folder: Path, model: str) -> None:
    engine = LlamaCppEngine(folder)
    request = ChatRequest(model, (Message("user", "Count to 60."),), "ALFRED", "thesis", num_ctx=1024)
    async for chunk in engine.stream(request):
        if isinstance(chunk, Text):
            print(*workers(), flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
