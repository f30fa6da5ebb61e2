"""Serves the requests about the image itself.

What replaces the content (`load`, `import`) is done while the society and memory are closed: they know turns, colours,
checkpoints and vectors of the content that goes. The next question opens them over the one that came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from a4ps.image.changes import Change
from a4ps.image.portable import read_portable
from a4ps.image.snapshot import PortableImage
from a4ps.image.text_export import import_text
from a4ps.kernel.backend import Backend
from a4ps.kernel.serving.call import Call, Handler
from a4ps.kernel.serving.working import working
from a4ps.protocol.requests import image
from a4ps.protocol.requests.base import Request


async def verify(backend: Backend, call: Call[image.Verify]) -> Mapping[str, Any]:
    """`image_verify`."""
    deep = call.request.deep
    report = await working(call, lambda tell: backend.protos.verify(deep=deep, tell=tell))
    return {
        "ok": report.ok,
        "deep": report.deep,
        "generation": report.generation,
        "commits": report.commits,
        "rows": report.rows,
        "faults": list(report.faults),
        "warnings": list(report.warnings),
    }


async def history(backend: Backend, call: Call[image.History]) -> Mapping[str, Any]:
    """`image_history`."""
    changes = await working(call, lambda _: backend.protos.history(call.request.proto or None))
    return {"changes": [_change(change) for change in changes]}


async def diff(backend: Backend, call: Call[image.Diff]) -> Mapping[str, Any]:
    """`image_diff`."""

    def look(_: object) -> list[dict[str, Any]]:
        # Values are decoded when they are written out, which reads the image.
        return [
            {
                "proto": each.proto,
                "part": each.part[0],
                "name": each.part[1],
                **dict(zip(("before", "after"), each.texts, strict=True)),
            }
            for each in backend.protos.diff(call.request.change)
        ]

    return {"change": call.request.change, "differences": await working(call, look)}


async def revert(backend: Backend, call: Call[image.Revert]) -> Mapping[str, Any]:
    """`image_revert`."""
    wanted = call.request
    changes = await working(
        call, lambda _: backend.protos.revert(wanted.change, author=call.author, reason=wanted.reason)
    )
    return {"reverted": wanted.change, "changes": [_change(change) for change in changes]}


async def backup(backend: Backend, call: Call[image.Backup]) -> Mapping[str, Any]:
    """`image_backup`."""
    file = call.request.file
    report = await working(call, lambda tell: backend.protos.backup(file, tell=tell))
    return {"file": file, "generation": report.generation, "commits": report.commits, "rows": report.rows}


async def save(backend: Backend, call: Call[image.Save]) -> Mapping[str, Any]:
    """`image_save`."""
    file = call.request.file
    await working(call, lambda _: backend.protos.save_image(file))
    return {"path": file, "protos": backend.protos.names()}


async def export(backend: Backend, call: Call[image.Export]) -> Mapping[str, Any]:
    """`image_export`."""
    folder = call.request.folder
    await working(call, lambda _: backend.protos.export_text(folder))
    return {"path": folder, "protos": backend.protos.names()}


async def load(backend: Backend, call: Call[image.Load]) -> Mapping[str, Any]:
    """`image_load`."""
    file = Path(call.request.file)
    return await _taken_over(backend, call, lambda: read_portable(file, backend.store.keys), f"load {file}")


async def import_(backend: Backend, call: Call[image.Import]) -> Mapping[str, Any]:
    """`image_import`."""
    folder, vouch = Path(call.request.folder), call.request.vouch

    def read() -> PortableImage:
        return replace(import_text(folder), foreign=not vouch)

    return await _taken_over(backend, call, read, f"import {folder}")


async def _taken_over(
    backend: Backend, call: Call[Any], read: Callable[[], PortableImage], reason: str
) -> Mapping[str, Any]:
    content = await working(call, lambda _: read())
    async with backend.alone():
        try:
            kept = await working(call, lambda _: backend.protos.become(content, author=call.author, reason=reason))
        finally:
            await backend.log.look_again()
        names = backend.protos.names()
    return {"image": str(backend.env.places.image), "protos": names, "kept": None if kept is None else str(kept)}


def _change(change: Change) -> dict[str, Any]:
    return {
        "change": change.generation,
        "base": change.base,
        "proto": change.name,
        "act": change.act,
        "author": change.author,
        "reason": change.reason,
        "at": change.at.isoformat(),
        "evidence": change.evidence,
        "inherited": change.inherited,
        "forgotten": change.forgotten,
    }


HANDLERS: Mapping[type[Request], Handler] = {
    image.Verify: verify,
    image.History: history,
    image.Diff: diff,
    image.Revert: revert,
    image.Backup: backup,
    image.Save: save,
    image.Export: export,
    image.Load: load,
    image.Import: import_,
}
