"""One test of a tool: arguments, and what the call has to come to. Values, and how they are read from text.

A case never enters a sandbox whole: the arguments do, the expectation stays in this process, where the typed value that
comes back is compared with it. So nothing that a candidate prints, raises or patches can make it pass.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from a4ps.errors import UsageError
from a4ps.tools.specification import Specification
from a4ps.tools.value_types import is_plain, same

#: Who a case comes from: the caller, ALFRED, a failure in use, or the tool's version before.
Origin: TypeAlias = Literal["example", "alfred", "use", "earlier"]

_EXAMPLE_STEP = "write it as 'f(2) == 4', 'f(2) raises ValueError', or give (arguments, result)"

#: What stands for the tool's name in an example, whatever its name becomes.
ANY_NAME = "f"


@dataclass(frozen=True, slots=True)
class Gives:
    """The call returns this value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raises:
    """The call raises this built-in exception."""

    exception: str


@dataclass(frozen=True, slots=True)
class Completes:
    """The call returns some value of the declared type: for inputs whose right result nobody has said."""


Expected: TypeAlias = Gives | Raises | Completes


@dataclass(frozen=True, slots=True)
class Returned:
    """A call that came back with a value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """A call whose code raised. `trace` is the code's own traceback."""

    exception: str
    message: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that was ended from outside, or gave what cannot be taken; `why` is a sentence."""

    why: str


Outcome: TypeAlias = Returned | Raised | Ended


@dataclass(frozen=True, slots=True)
class Case:
    """`args` are in the order of the parameters. A case that is `held_out` is shown to nobody who writes."""

    args: tuple[Any, ...]
    expected: Expected
    origin: Origin
    held_out: bool = False

    def fault(self, outcome: Outcome, specification: Specification) -> str:
        """What is wrong with an outcome, as a phrase; "" where it is as expected."""
        match outcome, self.expected:
            case Ended(why), _:
                return why
            case Raised(exception, message), Raises(wanted):
                return "" if exception == wanted else f"raised {exception}: {message[:200]} instead of {wanted}"
            case Raised(exception, message), Gives(wanted):
                return f"raised {exception}: {message[:200]} instead of giving {shown(wanted)}"
            case Raised(exception, message), Completes():
                declared = {case.exception for case in specification.errors}
                return "" if exception in declared else f"raised {exception}: {message[:200]}, which is not declared"
            case Returned(value), Raises(wanted):
                return f"gave {shown(value)} instead of raising {wanted}"
            case Returned(value), expected:
                value = specification.returns.shaped(value)
                if not specification.returns.fits(value):
                    return f"gave {shown(value)} ({type(value).__name__}), which is no {specification.returns}"
                if isinstance(expected, Gives) and not same(expected.value, value):
                    return f"gave {shown(value)} instead of {shown(expected.value)}"
        return ""

    def call_text(self, name: str) -> str:
        """As Python: "f(2)"."""
        return f"{name}({', '.join(map(shown, self.args))})"

    def text(self, name: str) -> str:
        """As a line for a writer: "f(2) == 4"."""
        match self.expected:
            case Gives(value):
                return f"{self.call_text(name)} == {shown(value)}"
            case Raises(exception):
                return f"{self.call_text(name)} raises {exception}"
        return f"{self.call_text(name)} returns without an error that is not declared"

    def as_plain(self) -> dict[str, Any]:
        """As plain data; `case_from_plain` takes it back."""
        match self.expected:
            case Gives(value):
                expected: dict[str, Any] = {"gives": value}
            case Raises(exception):
                expected = {"raises": exception}
            case _:
                expected = {}
        return {"args": list(self.args), "origin": self.origin, "held_out": self.held_out, **expected}


def case_from_plain(plain: Mapping[str, Any]) -> Case:
    """The inverse of `Case.as_plain`."""
    expected: Expected = Completes()
    if "gives" in plain:
        expected = Gives(plain["gives"])
    elif "raises" in plain:
        expected = Raises(str(plain["raises"]))
    return Case(tuple(plain["args"]), expected, plain["origin"], bool(plain["held_out"]))


@dataclass(frozen=True, slots=True)
class Example:
    """What the caller knows of a tool that does not exist yet. `name` is "f" where the example leaves it open."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    expected: Expected

    def as_case(self, specification: Specification, *, held_out: bool) -> Case:
        """Raises ToolRefused where the arguments do not fit the signature."""
        bound = specification.bound(self.args, self.kwargs)
        expected = self.expected
        if isinstance(expected, Gives):
            expected = Gives(specification.returns.shaped(expected.value, texts=True))
        return Case(tuple(bound.values()), expected, "example", held_out)

    def text(self) -> str:
        """As it was given, in one spelling."""
        given = [*map(shown, self.args), *(f"{name}={shown(value)}" for name, value in self.kwargs.items())]
        call = f"{self.name}({', '.join(given)})"
        match self.expected:
            case Raises(exception):
                return f"{call} raises {exception}"
            case Gives(value):
                return f"{call} == {shown(value)}"
        return call


def parse_example(given: str | Sequence[Any]) -> Example:
    """Read 'f(2) == 4', 'f("") raises ValueError', or a pair (arguments, result). Raises UsageError; runs nothing."""
    if not isinstance(given, str):
        if len(given) != 2 or not is_plain(list(given)):
            raise UsageError(f"{str(given)[:80]!r} is no example", next_step=_EXAMPLE_STEP)
        args = given[0] if isinstance(given[0], tuple) else (given[0],)
        return Example(ANY_NAME, args, {}, Gives(given[1]))
    call, raises, exception = given.partition(" raises ")
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        if raises:
            return Example(*_call_of(tree), Raises(exception.strip()))
        match tree:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                return Example(*_call_of(left), Gives(ast.literal_eval(right)))
            case ast.Compare(left=left, ops=[ast.Is()], comparators=[ast.Constant(value=value)]):
                return Example(*_call_of(left), Gives(value))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        pass
    raise UsageError(f"{given[:80]!r} is no example", next_step=_EXAMPLE_STEP)


def held_out_places(count: int) -> frozenset[int]:
    """Which of `count` examples the writer is not shown: of two the last, of more every third."""
    if count == 2:
        return frozenset({1})
    return frozenset(range(2, count, 3))


def shown(value: object) -> str:
    """A value for a person or a prompt, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        text = f"a {type(value).__name__} that is too long to be shown"
    return text if len(text) <= 300 else text[:299] + "…"


def _call_of(tree: ast.expr) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise ValueError("no call of a named function")  # noqa: TRY004 - of the text, not of a type
    if any(keyword.arg is None for keyword in tree.keywords):
        raise ValueError("** in an example")
    args = tuple(ast.literal_eval(each) for each in tree.args)
    return tree.func.id, args, {str(each.arg): ast.literal_eval(each.value) for each in tree.keywords}
