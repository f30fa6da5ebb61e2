"""What a tool is to do, before anybody writes it: name, signature with types, contract, error cases.

`SpecificationShape` is what a model is asked for by constrained output; `Specification` is that, checked: existing
means valid. It is written from the task alone and is all that ALFRED sees of a tool when he writes its tests.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from a4ps.errors import ToolRefused
from a4ps.tools.granted_folders import NAMES
from a4ps.tools.value_types import ValueType, parse_type

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
PARAMETERS_MAX = 8
CONTRACT_MAX = 2000
ERRORS_MAX = 8

_EXCEPTIONS = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, Exception) and not issubclass(value, Warning)
)


class ParameterShape(BaseModel):
    """One parameter. `type` is a Python annotation such as "list[int]"."""

    name: str = Field(max_length=48)
    type: str = Field(max_length=80)


class ErrorShape(BaseModel):
    """An exception that the tool raises on purpose, and when."""

    exception: str = Field(max_length=48)
    when: str = Field(max_length=200)


class SpecificationShape(BaseModel):
    """A tool's specification as a model gives it. The order of the keys is the order of generation."""

    name: str = Field(max_length=48)
    parameters: list[ParameterShape] = Field(max_length=PARAMETERS_MAX)
    returns: str = Field(max_length=80)
    contract: str = Field(max_length=CONTRACT_MAX)
    errors: list[ErrorShape] = Field(default_factory=list, max_length=ERRORS_MAX)
    deterministic: bool = True


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool."""

    name: str
    type: ValueType


@dataclass(frozen=True, slots=True)
class ErrorCase:
    """The name of a built-in exception, and when the tool raises it on purpose."""

    exception: str
    when: str


@dataclass(frozen=True, slots=True)
class Specification:
    """Raises ToolRefused where a name, type or exception cannot be. `deterministic`: equal input, equal result."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: ValueType
    contract: str
    errors: tuple[ErrorCase, ...] = ()
    deterministic: bool = True

    def __post_init__(self) -> None:
        _check_name(self.name, "tool")
        if self.name in vars(builtins):
            raise ToolRefused(f"{self.name} is a name of Python's own", next_step="give the tool another name")
        if self.name in NAMES or self.name.startswith("a4ps_"):
            raise ToolRefused(f"{self.name} is a name of A4PS's own", next_step="give the tool another name")
        for parameter in self.parameters:
            _check_name(parameter.name, "parameter")
        names = [parameter.name for parameter in self.parameters]
        if len(set(names)) != len(names) or len(names) > PARAMETERS_MAX:
            raise ToolRefused(
                f"{self.name} has {len(names)} parameters: {', '.join(names)}",
                next_step=f"name at most {PARAMETERS_MAX}, each once",
            )
        if not self.contract.strip():
            raise ToolRefused(f"{self.name} has no contract", next_step="say what it returns for what it is given")
        for case in self.errors:
            if case.exception not in _EXCEPTIONS:
                raise ToolRefused(
                    f"{case.exception[:40]!r} is no built-in exception", next_step="take one such as ValueError"
                )

    @classmethod
    def of(cls, shape: SpecificationShape) -> Specification:
        """The checked form of what a model gave. Raises ToolRefused."""
        return cls(
            shape.name.strip(),
            tuple(Parameter(each.name.strip(), parse_type(each.type)) for each in shape.parameters),
            parse_type(shape.returns),
            shape.contract.strip(),
            tuple(ErrorCase(each.exception.strip(), each.when.strip()) for each in shape.errors),
            shape.deterministic,
        )

    @property
    def signature(self) -> str:
        """As a line of Python: `slugify(text: str) -> str`."""
        given = ", ".join(f"{each.name}: {each.type}" for each in self.parameters)
        return f"{self.name}({given}) -> {self.returns}"

    @property
    def summary(self) -> str:
        """The contract's first sentence or line."""
        first = self.contract.strip().partition("\n")[0]
        return re.split(r"(?<=[.!?])\s", first, maxsplit=1)[0]

    def as_text(self) -> str:
        """For a prompt or a person."""
        lines = [f"def {self.signature}", "", self.contract.strip()]
        lines += [f"Raises {case.exception}: {case.when}" for case in self.errors]
        if not self.deterministic:
            lines.append("Its result may differ from call to call.")
        return "\n".join(lines)

    def bound(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Parameter → argument, each of its type. Raises ToolRefused where one is missing, unknown or of another type."""
        names = [parameter.name for parameter in self.parameters]
        if len(args) > len(names):
            raise self._refused(f"{len(args)} arguments were given")
        given: dict[str, object] = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names or name in given:
                raise self._refused(f"{name} was given {'twice' if name in given else 'and is no parameter'}")
            given[name] = value
        missing = [name for name in names if name not in given]
        if missing:
            raise self._refused(f"{', '.join(missing)} is missing")
        for parameter in self.parameters:
            value = given[parameter.name] = parameter.type.shaped(given[parameter.name], texts=True)
            if not parameter.type.fits(value):
                raise self._refused(f"{parameter.name} is {_shown(value)}, not {parameter.type}")
        return {name: given[name] for name in names}

    def arguments_schema(self) -> dict[str, Any]:
        """JSON schema of an object with one key a parameter."""
        properties = {each.name: each.type.json_schema() for each in self.parameters}
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

    def as_plain(self) -> dict[str, Any]:
        """As plain data; `from_plain` takes it back."""
        return {
            "name": self.name,
            "parameters": [{"name": each.name, "type": str(each.type)} for each in self.parameters],
            "returns": str(self.returns),
            "contract": self.contract,
            "errors": [{"exception": each.exception, "when": each.when} for each in self.errors],
            "deterministic": self.deterministic,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Specification:
        """Raises ToolRefused, or pydantic's ValidationError, for what `as_plain` did not give."""
        return cls.of(SpecificationShape.model_validate(plain))

    def _refused(self, why: str) -> ToolRefused:
        return ToolRefused(f"{self.name} cannot be called so: {why}", next_step=f"it is {self.signature}")


def is_tool_name(name: str) -> bool:
    """Whether a tool may be called so."""
    return bool(_NAME.fullmatch(name)) and not keyword.iskeyword(name)


def _check_name(name: str, what: str) -> None:
    if not is_tool_name(name):
        raise ToolRefused(
            f"{ascii(name)[:60]} cannot name a {what}",
            next_step="take lower-case letters, digits and _, at most 48, beginning with a letter",
        )


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        text = "a very long number"
    return f"{text if len(text) <= 60 else text[:59] + '…'} ({type(value).__name__})"
