"""Requests about tools: having them written, using them, and how far their texts are trusted."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from a4ps.governance.roles import Role
from a4ps.protocol.messages import Text
from a4ps.protocol.objects import (
    ToolPromotedObject,
    ToolRemovedObject,
    ToolReportObject,
    ToolRunObject,
    ToolsObject,
    WholeToolObject,
)
from a4ps.protocol.requests.base import Request

ToolName = Annotated[str, Field(max_length=200)]

#: Arguments as a person types them; by place, or by name ("text=hello").
Arguments: TypeAlias = Annotated[list[Text], Field(max_length=10_000)]

#: What "@NAME" stands for among `Arguments`, by NAME: the content of that file, or what is wrong with it as a text.
Files: TypeAlias = dict[str, bytes | str]


class Tools(Request, name="tools", gives=ToolsObject, again=True):
    """Every tool, by name; `unreadable` are those of which `tool` says what is wrong with them."""


class Tool(Request, name="tool", gives=WholeToolObject, again=True):
    """All of one tool."""

    tool: ToolName


class ForgeTool(Request, name="forge_tool", gives=ToolReportObject):
    """Have a tool written that does `task`, in at most so many attempts; each step is told."""

    task: Text
    examples: Annotated[list[Text], Field(max_length=1_000)] = Field(default_factory=list)
    tries: int = 3


class MendTool(Request, name="mend_tool", gives=ToolReportObject):
    """Give a tool back to its writer, with the inputs that it failed at as tests."""

    tool: ToolName
    tries: int = 3


class RunTool(Request, name="run_tool", gives=ToolRunObject, once=True):
    """Call a tool. `spelt`: the result is the text that a person is shown, Python's own spelling, and not JSON."""

    tool: ToolName
    arguments: Arguments = Field(default_factory=list)
    files: Files = Field(default_factory=dict)
    spelt: bool = False


class Folder(BaseModel):
    """A folder that a tool may read, or write to as well. `path` is absolute."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    path: Annotated[str, Field(max_length=4_096)]
    writable: bool = False


class PromoteTool(Request, name="promote_tool", gives=ToolPromotedObject, needs=Role.ARCHITECT):
    """Say how far a tool's text is trusted. With `digest`, 16 characters of a hash at least, only a text whose hash begins
    so; "in-process" needs one. Of a folder that is given twice, the last one counts.
    """

    tool: ToolName
    level: Literal["sandboxed", "granted", "in-process"]
    folders: Annotated[list[Folder], Field(max_length=1_000)] = Field(default_factory=list)
    digest: Annotated[str, Field(max_length=64)] = ""
    reason: Text = ""


class RemoveTool(Request, name="remove_tool", gives=ToolRemovedObject, needs=Role.ARCHITECT):
    """Take a tool away; the change can be reverted."""

    tool: ToolName
