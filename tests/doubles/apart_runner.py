"""A runner for tests of the forge: a process of its own for each call, and no sandbox at all.

It speaks Python's own spelling of plain values over pipes. What the code prints goes nowhere near its result.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from a4ps.errors import SandboxedError, SandboxKilled, SandboxOverran

_CHILD = """
import ast, os, sys
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
source, name, args, kwargs = ast.literal_eval(sys.stdin.read())
scope = {"__name__": "sandboxed"}
try:
    exec(compile(source, "<code>", "exec"), scope)
    answer = ("value", scope[name](*args, **kwargs))
    ast.literal_eval(repr(answer))
except BaseException as error:
    answer = ("error", type(error).__name__, str(error))
out.write(repr(answer))
out.flush()
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
        job = repr((function_source, name, tuple(args), dict(kwargs)))
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", _CHILD], input=job, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise SandboxOverran(f"had not ended after {timeout} s") from None
        try:
            kind, *answer = ast.literal_eval(done.stdout)
        except (ValueError, SyntaxError):
            raise SandboxKilled("ended without an answer", limit="protocol") from None
        if kind == "error":
            raise SandboxedError(answer[0], answer[1])
        return Result(answer[0], "", done.stderr, 1.0, "apart")
