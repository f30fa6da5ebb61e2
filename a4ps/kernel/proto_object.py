"""A Proto, its slots and methods, and a call of it that failed, as a client sees them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from a4ps.image import calls
from a4ps.image.changes import Change, differing
from a4ps.image.content import Content, slot_path
from a4ps.image.failures import FailedCall, text_of
from a4ps.image.handle import PinnedProto
from a4ps.image.methods import Method
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.slot_tree import NODES_MAX, SlotPath, nodes
from a4ps.image.versions import ProtoVersion, ancestors_of
from a4ps.kernel.trying import Tried
from a4ps.personas.names import NAMES
from a4ps.protocol.proto_objects import (
    FailureObject,
    MethodObject,
    PastVersionObject,
    ProtoObject,
    ProtoSummaryObject,
    SlotObject,
    TriedObject,
)
from a4ps.tools.registry import PREFIX


def summary_object(proto: PinnedProto, home: ProtoManager, failed: list[str]) -> ProtoSummaryObject:
    """One line of `protos`."""
    version = proto.current
    mood = version.content.slots.get("mood")
    said = None if mood is None else mood.shown(slot_path(proto.name, "mood"))
    return {
        "name": proto.name,
        "version": version.generation,
        "kind": "persona" if proto.name in NAMES else "tool" if proto.name.startswith(PREFIX) else "proto",
        "role": version.codex.role,
        "model": version.codex.model_name,
        "mood": said[:100] if isinstance(said, str) else "",
        "parents": list(version.parents),
        "slots": len(proto.state),
        "methods": len(methods_of(version, lineage(version, home.pin().versions))),
        "changed_at": version.at.isoformat(),
        "changed_by": version.record.author,
        "act": version.record.act,
        "reason": version.record.reason,
        "failed": failed,
    }


def proto_object(
    version: ProtoVersion, versions: Mapping[str, ProtoVersion], home: ProtoManager, opened: Set[SlotPath]
) -> ProtoObject:
    """`proto`; `versions` are those that it inherits within."""
    ancestors = lineage(version, versions)
    slots, left = _slots(version, ancestors, opened)
    record = version.record
    return {
        "name": version.name,
        "version": version.generation,
        "newest": version.name in home and home.get_proto(version.name).version == version.generation,
        "at": version.at.isoformat(),
        "act": record.act,
        "author": record.author,
        "reason": record.reason,
        "evidence": record.evidence,
        "codex": version.codex.to_mapping(),  # type: ignore[typeddict-item]  # a codex has just these fields
        "parents": list(version.parents),
        "ancestors": [each.name for each in ancestors],
        "slots": slots,
        "slots_left": left,
        "methods": [
            method_object(method, owner, version.name, home)
            for method, owner in sorted(methods_of(version, ancestors), key=lambda each: each[0].name)
        ],
    }


def lineage(version: ProtoVersion, versions: Mapping[str, ProtoVersion]) -> tuple[ProtoVersion, ...]:
    """What a version inherits from, nearest first."""
    return ancestors_of(version.name, version.parents, versions)


def methods_of(version: ProtoVersion, ancestors: tuple[ProtoVersion, ...]) -> list[tuple[Method, str]]:
    """Each method in force, with the name of the Proto whose it is."""
    found: dict[str, tuple[Method, str]] = {}
    for each in (*reversed(ancestors), version):
        found.update({name: (method, each.name) for name, method in each.content.methods.items()})
    return list(found.values())


def method_object(method: Method, owner: str, proto: str, home: ProtoManager) -> MethodObject:
    place = calls.place(method, home)
    failed = home.failures.of(proto, method.name)
    return {
        "name": method.name,
        "signature": method.signature,
        "summary": method.summary,
        "source": method.source,
        "author": method.author,
        "reason": method.reason,
        "hash": method.digest,
        "level": place.level.value,
        "folders": list(place.folders),
        "inherited": "" if owner == proto else owner,
        "reads": list(method.reads),
        "writes": list(method.writes),
        "failed": failed is not None and failed.is_last,
    }


def failure_object(call: FailedCall) -> FailureObject:
    return {
        "proto": call.proto,
        "method": call.method,
        "version": call.version,
        "hash": call.digest,
        "author": call.author,
        "level": call.where,
        "arguments": call.arguments,
        "kind": call.kind,
        "message": call.message,
        "next": call.next_step,
        "frames": [
            {
                "file": frame.file,
                "line": frame.line,
                "function": frame.function,
                "source": frame.source,
                "locals": dict(frame.names),
                "proto": frame.proto,
                "method": frame.method,
                "text": text_of(frame),
            }
            for frame in call.frames
        ],
        "output": call.output,
        "at": call.at.isoformat(),
        "last": call.is_last,
        "again": call.given is not None,
    }


def tried_object(tried: Tried) -> TriedObject:
    return {
        "good": tried.failure is None,
        "where": tried.where,
        "value": tried.value,
        "output": tried.output,
        "cut": tried.cut,
        "seconds": tried.seconds,
        "changed": list(tried.changed),
        "failure": None if tried.failure is None else failure_object(tried.failure),
    }


def past_version_object(
    change: Change, before: Content | None, after: Content | None, method: str
) -> PastVersionObject:
    """One line of `versions`."""
    had = None if after is None else after.methods.get(method)
    return {
        "change": change.generation,
        "base": change.base,
        "at": change.at.isoformat(),
        "act": change.act,
        "author": change.author,
        "reason": change.reason,
        "forgotten": change.forgotten,
        "gone": after is None,
        "parts": [" ".join(part).strip() for part, _, _ in differing(before, after)],
        "source": None if had is None else had.source,
    }


def _slots(
    version: ProtoVersion, ancestors: tuple[ProtoVersion, ...], opened: Set[SlotPath]
) -> tuple[list[SlotObject], int]:
    """The slots in force, and how many are left out."""
    owners: dict[str, ProtoVersion] = {}
    for each in (*reversed(ancestors), version):
        owners.update(dict.fromkeys(each.content.slots, each))
    found: list[SlotObject] = []
    for at, (name, owner) in enumerate(owners.items()):
        if len(found) >= NODES_MAX:
            return found, len(owners) - at
        value: Any = owner.content.slots[name].fresh(slot_path(owner.name, name))
        inherited = "" if owner is version else owner.name
        found += [
            {
                "path": list(node.path),
                "depth": node.depth,
                "name": node.name,
                "type": node.kind,
                "text": node.text,
                "size": node.size,
                "plain": node.plain,
                "editable": node.editable,
                "cut": node.cut,
                "opens": node.opens,
                "left": node.left,
                "inherited": inherited,
            }
            for node in nodes(name, value, opened, NODES_MAX - len(found))
        ]
    return found, 0
