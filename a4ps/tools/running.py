"""How text that is not trusted is called: the port to the sandbox, and one call as an outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from a4ps.errors import SandboxedError, SandboxKilled, SandboxOverran
from a4ps.governance.trust import hidden_character
from a4ps.tools.cases import Ended, Outcome, Raised, Returned

Services = Mapping[str, Callable[..., Any]]
#: So much of an error's text is passed on.
TOLD_CHARS = 1_000

_NONE: Mapping[str, Any] = MappingProxyType({})


class RunResult(Protocol):
    """What a call came back with: plain data, and which tier of sandbox it ran in."""

    @property
    def value(self) -> Any: ...
    @property
    def stderr(self) -> str: ...
    @property
    def ms(self) -> float: ...
    @property
    def tier(self) -> str: ...


class Runner(Protocol):
    """Calls one function of a source text where it can do no harm. `SecureCodeExecutor` is one.

    Called from any thread, once a call, blocking. Raises SandboxedError where the code raised, SandboxOverran,
    SandboxKilled, SandboxUnavailable; nothing of the call outlives it (I6).
    """

    def call(
        self,
        function_source: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = _NONE,
        *,
        name: str = "",
        services: Services = _NONE,
        timeout: float = 10,
    ) -> RunResult: ...


def told(text: str) -> str:
    """What code says of its error, for a line that people and prompts read: on one line, and nothing in it unseen."""
    line = " ".join(text.split())
    return "".join(ascii(each)[1:-1] if hidden_character(each) else each for each in line[:TOLD_CHARS])


def outcome_of(
    runner: Runner,
    source: str,
    name: str,
    args: Sequence[Any],
    timeout_s: float,
    services: Services = _NONE,
) -> tuple[Outcome, str]:
    """Call `name` once, and the tier it ran in ("" where it did not come back). Raises SandboxUnavailable.

    What the code writes to stdout or stderr does not count: a warning is no failure, and "TEST PASSED" no success.
    """
    try:
        result = runner.call(source, args, name=name, services=services, timeout=timeout_s)
    except SandboxedError as error:
        return Raised(told(error.type_name), told(error.text), error.traceback), ""
    except SandboxOverran:
        return Ended(f"had not ended after {timeout_s:g} s"), ""
    except SandboxKilled as error:
        return Ended(f"was ended by the sandbox: {error.message}"), ""
    return Returned(result.value), result.tier
