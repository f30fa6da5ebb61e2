"""Requests about Protos: to look into one, to change a slot or a method of it, and to see where a method failed.

A path is a slot's name, then one step a level: an index of a list, a key of a dict, a field of a record. Arguments are
Python literals as in a call: `3, times=2`.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from a4ps.governance.roles import Role
from a4ps.protocol.messages import Text
from a4ps.protocol.proto_objects import (
    CodexChangedObject,
    FailureObject,
    FailuresObject,
    MethodDefinedObject,
    MethodForgottenObject,
    ProtoObject,
    ProtosObject,
    SlotChangedObject,
    TriedObject,
    VersionsObject,
    WholeSlotObject,
)
from a4ps.protocol.requests.base import Request

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Source: TypeAlias = Annotated[str, Field(max_length=1_000_000)]
Path: TypeAlias = Annotated[list[str | int], Field(min_length=1, max_length=100)]
Names: TypeAlias = Annotated[list[Name], Field(max_length=1_000)]
Generation: TypeAlias = Annotated[int, Field(ge=1, lt=1 << 47)]


class Protos(Request, name="protos", gives=ProtosObject, again=True):
    """Every Proto, by name."""


class Proto(Request, name="proto", gives=ProtoObject, again=True):
    """All of one Proto, as it is or as it was after commit `version`. Of slots the texts are short; what lies inside of a
    value is given for each path in `opened`.
    """

    proto: Name
    version: Generation | None = None
    opened: Annotated[list[Path], Field(max_length=1_000)] = Field(default_factory=list)


class Slot(Request, name="slot", gives=WholeSlotObject, again=True):
    """The whole text of one value, a million characters at most."""

    proto: Name
    path: Path
    version: Generation | None = None


class SetSlot(Request, name="set_slot", gives=SlotChangedObject, needs=Role.ARCHITECT):
    """Set a slot, or what lies inside of it: with `plain` to the text itself, else to what it says as a Python literal or
    JSON. What is there keeps its type. No change where it is the same.
    """

    proto: Name
    path: Path
    text: Source
    plain: bool = False
    reason: Text = ""


class RemoveSlot(Request, name="remove_slot", gives=SlotChangedObject, needs=Role.ARCHITECT):
    """Take a Proto's own slot away, or an entry out of a list or dict in it."""

    proto: Name
    path: Path
    reason: Text = ""


class SetCodex(Request, name="set_codex", gives=CodexChangedObject, needs=Role.ARCHITECT):
    """Set a part of a Proto's codex: `pillars` one a line, `temperature` as a number, `extra` as JSON, all else as it is."""

    proto: Name
    field: Literal["role", "model_name", "system_prompt", "voice", "pillars", "temperature", "extra"]
    text: Source
    reason: Text = ""


class DefineMethod(Request, name="define_method", gives=MethodDefinedObject, needs=Role.ARCHITECT):
    """Give a Proto a method, in one change. With `test` it is called in a sandbox first, on a copy: where that fails nothing
    is changed, and `tried` says how it failed.
    """

    proto: Name
    method: Name
    source: Source
    reads: Names = Field(default_factory=list)
    writes: Names = Field(default_factory=list)
    reason: Text = ""
    test: bool = False
    arguments: Text = ""


class ForgetMethod(Request, name="forget_method", gives=MethodForgottenObject, needs=Role.ARCHITECT):
    """Take a Proto's own method away; what it inherits under that name shows then."""

    proto: Name
    method: Name
    reason: Text = ""


class TryMethod(Request, name="try_method", gives=TriedObject, needs=Role.ARCHITECT, once=True):
    """Call a method on a copy of its Proto, with `source` in the place of its text where given. Nothing is kept. With
    `sandbox` it runs there, else where its text would run; what it reaches beyond its Proto is real.
    """

    proto: Name
    method: Name
    arguments: Text = ""
    source: Source = ""
    sandbox: bool = False


class Versions(Request, name="versions", gives=VersionsObject, again=True):
    """A Proto's own changes, newest first, each with what it touched and with the text that `method` had after it."""

    proto: Name
    method: Annotated[str, Field(max_length=200)] = ""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100


class Failures(Request, name="failures", gives=FailuresObject, again=True):
    """Live methods whose last failed call is known, the newest first. They are kept in memory only."""


class Failure(Request, name="failure", gives=FailureObject, again=True):
    """The last failed call of one method: where it stood and what its names held."""

    proto: Name
    method: Name


class Retry(Request, name="retry", gives=TriedObject, needs=Role.ARCHITECT, once=True):
    """`try_method` with the arguments of the method's last failed call."""

    proto: Name
    method: Name
    source: Source = ""
