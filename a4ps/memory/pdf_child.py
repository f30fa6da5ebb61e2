"""The program that takes the words out of one PDF: started by `documents`, with the file on its standard input.

It limits itself before it reads (address space, CPU time, no files written, no core) and answers with one JSON object:
{"pages": [text, …]}, or {"bad": what is wrong}. It is bounded, and no sandbox.
"""

from __future__ import annotations

import io
import json
import logging
import resource
import sys

ADDRESS_BYTES = 2 * 2**30
CPU_S = 100


def main() -> None:
    """The whole life of the child."""
    limits = (
        (resource.RLIMIT_AS, ADDRESS_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    )
    for limit, value in limits:
        resource.setrlimit(limit, (value, value))
    logging.disable(logging.CRITICAL)
    sys.stdout.write(json.dumps(_read(sys.stdin.buffer.read())))


def _read(content: bytes) -> dict[str, object]:
    import pypdf

    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            return {"bad": "it is locked with a password"}
        return {"pages": [page.extract_text() for page in reader.pages]}
    except MemoryError:
        return {"bad": "it needs more memory to be read than any text"}
    except Exception as error:  # noqa: BLE001 - a parser of a stranger's bytes raises what it likes
        return {"bad": f"it is no PDF that can be read ({type(error).__name__})"}


if __name__ == "__main__":
    main()
