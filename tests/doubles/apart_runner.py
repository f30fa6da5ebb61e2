"""A runner for tests of the forge: a process of its own for each call, and no sandbox at all.

It speaks the sandbox's wire over pipes. What the code prints goes nowhere near its result.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from a4ps.errors import SandboxedError, SandboxKilled, SandboxOverran
from a4ps.sandbox.pool import PoolStatistics
from a4ps.sandbox.wire import decode, encode

_CHILD = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from a4ps.sandbox.wire import decode, encode
out = os.dup(1)
os.dup2(2, 1)
source, name, args, kwargs = decode(sys.stdin.buffer.read())
scope = {{"__name__": "sandboxed"}}
try:
    exec(compile(source, "<code>", "exec"), scope)
    answer = encode(("value", scope[name](*args, **kwargs)))
except BaseException as error:
    answer = encode(("error", type(error).__name__, str(error)))
while answer:
    answer = answer[os.write(out, answer) :]
os._exit(0)
"""


@dataclass(frozen=True)
class Result:
    value: Any
    stdout: str
    stderr: str
    ms: float
    tier: str


@dataclass
class ApartRunner:
    """`sources` are all texts that were called, in order."""

    sources: list[str] = field(default_factory=list)

    def call(
        self,
        function_source: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = {},
        *,
        name: str = "",
        services: Mapping[str, Callable[..., Any]] = {},
        timeout: float = 10,
    ) -> Result:
        self.sources.append(function_source)
        job = encode((function_source, name, tuple(args), dict(kwargs)))
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", _CHILD], input=job, capture_output=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise SandboxOverran(f"had not ended after {timeout} s") from None
        try:
            kind, *answer = decode(done.stdout)
        except ValueError:
            raise SandboxKilled("ended without an answer", limit="protocol") from None
        if kind == "error":
            raise SandboxedError(answer[0], answer[1])
        return Result(answer[0], "", done.stderr.decode(errors="replace"), 1.0, "apart")


class ApartExecutor(ApartRunner):
    """As `SecureCodeExecutor` is made and closed, without a sandbox."""

    def __init__(self, *, tier: str = "", pool_size: int = 0) -> None:
        super().__init__()

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(calls=len(self.sources))

    def close(self) -> None:
        """There is nothing to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
