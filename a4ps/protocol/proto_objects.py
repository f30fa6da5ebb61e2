"""The objects that the requests about Protos give, as types: PROTOCOL.md shows their schemas."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict


class ProtoSummaryObject(TypedDict):
    name: str
    version: int
    kind: Literal["persona", "tool", "proto"]
    role: str
    model: str
    mood: str
    parents: list[str]
    slots: int
    methods: int
    changed_at: str
    changed_by: str
    act: str
    reason: str
    failed: list[str]


class ProtosObject(TypedDict):
    protos: list[ProtoSummaryObject]


class SlotObject(TypedDict):
    path: list[str | int]
    depth: int
    name: str
    type: str
    text: str
    size: int | None
    plain: bool
    editable: bool
    cut: bool
    opens: bool
    left: int
    inherited: str


class MethodObject(TypedDict):
    name: str
    signature: str
    summary: str
    source: str
    author: str
    reason: str
    hash: str
    level: Literal["sandboxed", "granted", "in-process"]
    folders: list[str]
    inherited: str
    reads: list[str]
    writes: list[str]
    failed: bool


class CodexObject(TypedDict):
    role: str
    model_name: str
    system_prompt: str
    voice: str
    pillars: list[str]
    temperature: float
    extra: dict[str, Any]


class ProtoObject(TypedDict):
    name: str
    version: int
    newest: bool
    at: str
    act: str
    author: str
    reason: str
    evidence: Any
    codex: CodexObject
    parents: list[str]
    ancestors: list[str]
    slots: list[SlotObject]
    slots_left: int
    methods: list[MethodObject]


class WholeSlotObject(TypedDict):
    proto: str
    path: list[str | int]
    version: int
    type: str
    text: str
    plain: bool
    editable: bool
    cut: bool


class SlotChangedObject(TypedDict):
    proto: str
    path: list[str | int]
    change: int | None


class CodexChangedObject(TypedDict):
    proto: str
    field: str
    change: int | None


class FrameObject(TypedDict):
    file: str
    line: int
    function: str
    source: str
    locals: dict[str, str]
    proto: str
    method: str
    text: str


class FailureObject(TypedDict):
    proto: str
    method: str
    version: int
    hash: str
    author: str
    level: str
    arguments: str
    kind: str
    message: str
    next: str
    frames: list[FrameObject]
    output: str
    at: str
    last: bool
    again: bool


class FailuresObject(TypedDict):
    failures: list[FailureObject]


class TriedObject(TypedDict):
    good: bool
    where: Literal["sandbox", "in-process"]
    value: str
    output: str
    cut: bool
    seconds: float
    changed: list[str]
    failure: FailureObject | None


class MethodDefinedObject(TypedDict):
    proto: str
    method: str
    change: int | None
    hash: str
    tried: TriedObject | None


class MethodForgottenObject(TypedDict):
    proto: str
    method: str
    change: int


class PastVersionObject(TypedDict):
    change: int
    base: int
    at: str
    act: str
    author: str
    reason: str
    forgotten: bool
    gone: bool
    parts: list[str]
    source: str | None


class VersionsObject(TypedDict):
    proto: str
    method: str
    versions: list[PastVersionObject]
    left: int
