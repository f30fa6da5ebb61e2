"""The program that examines one model file: started by `examiner` with the open file as its standard input.

It limits itself before it reads (address space, CPU time, no files written, no core), looks at the header once, and
answers with one line of JSON: an `Examined`, or {"bad": what is wrong, "next": what to do}. It imports little, so that it
starts in about 30 ms.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import sys
from dataclasses import asdict
from typing import Any

from a4ps.errors import ModelFileBad
from a4ps.inference.examined import describe
from a4ps.inference.gguf import HEADER_BYTES, Header, read_header

#: The mapped header, what is kept of it (65,536 tensors are about 60 MB of objects), and Python itself.
ADDRESS_BYTES = HEADER_BYTES + 384 * 2**20
CPU_S = 2


def main() -> None:
    """The whole life of the child."""
    for limit, value in (
        (resource.RLIMIT_AS, ADDRESS_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        resource.setrlimit(limit, (value, value))
    said: dict[str, Any]
    try:
        said = asdict(describe(_header(sys.stdin.fileno())))
    except ModelFileBad as error:
        said = {"bad": error.message, "next": error.next_step}
    except MemoryError:
        said = {"bad": "needs more memory to be examined than any model", "next": "do not use this file"}
    sys.stdout.write(json.dumps(said, allow_nan=False))


def _header(source: int) -> Header:
    size = os.fstat(source).st_size
    if size == 0:
        raise ModelFileBad("is empty", next_step="fetch the file again")
    # Only the head is mapped: a whole model would not fit the address space that this process allows itself.
    with mmap.mmap(source, min(size, HEADER_BYTES), access=mmap.ACCESS_READ) as head:
        return read_header(head, size)


if __name__ == "__main__":
    main()
