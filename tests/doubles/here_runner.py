"""A runner for tests of what granted tools read and write: in this process, for texts that a test wrote itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from a4ps.errors import SandboxedError
from tests.doubles.apart_runner import Result


@dataclass
class HereRunner:
    """`calls` are the names of the functions called, in order. Services are the text's own globals, as in a sandbox."""

    calls: list[str] = field(default_factory=list)

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
        self.calls.append(name)
        scope: dict[str, Any] = dict(services)
        exec(compile(function_source, "<tool>", "exec"), scope)
        try:
            value = scope[name](*args, **kwargs)
        except Exception as error:
            raise SandboxedError(type(error).__name__, str(error)) from error
        return Result(value, "", "", 1.0, "here")
