"""Serves the requests about Protos.

What changes one is one transaction by whoever asked, with their reason. What tries a method works on a copy that nobody
commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from a4ps.errors import CallerError, UnknownProto
from a4ps.image.brief import kind_of
from a4ps.image.commands import under_no_command
from a4ps.image.content import slot_path
from a4ps.image.failures import FailedCall
from a4ps.image.handle import Pin
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.slot_tree import SlotPath, found, is_literal, read_value, spelt, whole_text, with_value, without
from a4ps.kernel.backend import Backend
from a4ps.kernel.proto_object import (
    failure_object,
    past_version_object,
    proto_object,
    summary_object,
    tried_object,
)
from a4ps.kernel.serving.call import Call, Handler
from a4ps.kernel.serving.working import working
from a4ps.kernel.trying import Tried, read_arguments, tried
from a4ps.personas.roster import NAMES, enrol
from a4ps.protocol.requests import protos
from a4ps.protocol.requests.base import Request


async def list_protos(backend: Backend, call: Call[protos.Protos]) -> Mapping[str, Any]:
    """`protos`."""

    def read(_: object) -> Mapping[str, Any]:
        home = _enrolled(backend)
        pin = home.pin()
        failed: dict[str, list[str]] = {}
        for each in home.failures.all():
            if each.is_last:
                failed.setdefault(each.proto, []).append(each.method)
        return {"protos": [summary_object(pin[name], home, failed.get(name, [])) for name in sorted(pin)]}

    return await working(call, read)


async def proto(backend: Backend, call: Call[protos.Proto]) -> Mapping[str, Any]:
    """`proto`."""
    wanted = call.request

    def read(_: object) -> Mapping[str, Any]:
        home = _enrolled(backend)
        pin = home.pin(wanted.version)
        opened = {tuple(path) for path in wanted.opened}
        return dict(proto_object(pin.get_proto(wanted.proto).current, pin.versions, home, opened))

    return await working(call, read)


async def slot(backend: Backend, call: Call[protos.Slot]) -> Mapping[str, Any]:
    """`slot`."""
    wanted = call.request
    path = tuple(wanted.path)

    def read(_: object) -> Mapping[str, Any]:
        home = _enrolled(backend)
        pin = home.pin(wanted.version)
        seen = pin.get_proto(wanted.proto)
        value = found(seen.clone().copy_of(_slot_name(seen.state, wanted.proto, path)), path)
        text, cut = whole_text(value)
        return {
            "proto": wanted.proto,
            "path": wanted.path,
            "version": seen.version,
            "type": kind_of(value),
            "text": text,
            "plain": isinstance(value, str),
            "editable": not cut and is_literal(value),
            "cut": cut,
        }

    return await working(call, read)


async def set_slot(backend: Backend, call: Call[protos.SetSlot]) -> Mapping[str, Any]:
    """`set_slot`."""
    wanted = call.request
    path = tuple(wanted.path)

    def work(_: object) -> Mapping[str, Any]:
        new = read_value(wanted.text, plain=wanted.plain)
        reason = wanted.reason or f"set {wanted.proto}.{spelt(path)}"
        with _enrolled(backend).transaction(author=call.author, reason=reason) as transaction:
            draft = transaction.edit(wanted.proto)
            name = str(path[0])
            if len(path) > 1:
                _slot_name(draft.state, wanted.proto, path)
            before = draft.copy_of(name) if name in draft.state else None
            draft.state[name] = with_value(before, path, new)
        return _changed(wanted, transaction.changes)

    return await working(call, work)


async def remove_slot(backend: Backend, call: Call[protos.RemoveSlot]) -> Mapping[str, Any]:
    """`remove_slot`."""
    wanted = call.request
    path = tuple(wanted.path)

    def work(_: object) -> Mapping[str, Any]:
        reason = wanted.reason or f"remove {wanted.proto}.{spelt(path)}"
        with _enrolled(backend).transaction(author=call.author, reason=reason) as transaction:
            draft = transaction.edit(wanted.proto)
            name = _slot_name(draft.state, wanted.proto, path)
            if len(path) > 1:
                draft.state[name] = without(draft.copy_of(name), path)
            elif name in draft.content(call.author).slots:
                del draft.state[name]
            else:
                raise CallerError(
                    f"{wanted.proto} inherits {spelt(path)} and has none of its own",
                    next_step="remove it where it is, or set it here",
                )
        return _changed(wanted, transaction.changes)

    return await working(call, work)


async def set_codex(backend: Backend, call: Call[protos.SetCodex]) -> Mapping[str, Any]:
    """`set_codex`."""
    wanted = call.request

    def work(_: object) -> Mapping[str, Any]:
        value = _codex_value(wanted.field, wanted.text)
        reason = wanted.reason or f"set {wanted.proto}.codex.{wanted.field}"
        with _enrolled(backend).transaction(author=call.author, reason=reason) as transaction:
            draft = transaction.edit(wanted.proto)
            draft.codex = replace(draft.codex, **{wanted.field: value})
        changes = transaction.changes
        return {
            "proto": wanted.proto,
            "field": wanted.field,
            "change": changes[0].generation if changes else None,
        }

    return await working(call, work)


async def define_method(backend: Backend, call: Call[protos.DefineMethod]) -> Mapping[str, Any]:
    """`define_method`: the text is checked, tried where that is asked for, and only then put in its place.

    It is judged against what was there before the trial: where the same method has changed meanwhile, that is a Conflict.
    """
    wanted = call.request

    def work(_: object) -> Mapping[str, Any]:
        home = _enrolled(backend)
        pin = home.pin()
        draft = pin.get_proto(wanted.proto).clone()
        args, kwargs = read_arguments(wanted.arguments)
        draft.define(wanted.method, wanted.source, author=call.author, reads=wanted.reads, writes=wanted.writes)
        method = draft.methods[wanted.method]
        trial = tried(draft, wanted.method, args, kwargs, home, sandbox=True) if wanted.test else None
        change = None
        if trial is None or trial.failure is None:
            with home.transaction(
                author=call.author,
                reason=wanted.reason or f"define {wanted.proto}.{wanted.method}",
                evidence=None if trial is None else _evidence(trial, wanted.arguments),
                pin=pin,
            ) as transaction:
                transaction.edit(wanted.proto).define(
                    wanted.method,
                    wanted.source,
                    author=call.author,
                    reason=wanted.reason,
                    reads=wanted.reads,
                    writes=wanted.writes,
                )
            change = transaction.changes[0].generation if transaction.changes else None
        return {
            "proto": wanted.proto,
            "method": wanted.method,
            "change": change,
            "hash": method.digest,
            "tried": None if trial is None else tried_object(trial),
        }

    return await working(call, work)


async def forget_method(backend: Backend, call: Call[protos.ForgetMethod]) -> Mapping[str, Any]:
    """`forget_method`."""
    wanted = call.request

    def work(_: object) -> Mapping[str, Any]:
        reason = wanted.reason or f"forget {wanted.proto}.{wanted.method}"
        with _enrolled(backend).transaction(author=call.author, reason=reason) as transaction:
            transaction.edit(wanted.proto).forget(wanted.method)
        return {"proto": wanted.proto, "method": wanted.method, "change": transaction.changes[0].generation}

    return await working(call, work)


async def try_method(backend: Backend, call: Call[protos.TryMethod]) -> Mapping[str, Any]:
    """`try_method`."""
    wanted = call.request

    def work(_: object) -> Mapping[str, Any]:
        home = _enrolled(backend)
        args, kwargs = read_arguments(wanted.arguments)
        draft = _draft(home.pin(), wanted.proto, wanted.method, wanted.source, call.author)
        return dict(tried_object(tried(draft, wanted.method, args, kwargs, home, sandbox=wanted.sandbox)))

    return await working(call, work)


async def versions(backend: Backend, call: Call[protos.Versions]) -> Mapping[str, Any]:
    """`versions`."""
    wanted = call.request

    def read(_: object) -> Mapping[str, Any]:
        # One more than is shown, for what the oldest of them changed.
        past = _enrolled(backend).contents_of(wanted.proto, wanted.limit + 1)
        befores = [None, *(content for _, content in past)]
        lines = [
            past_version_object(change, before, after, wanted.method)
            for (change, after), before in zip(past, befores, strict=False)
        ]
        left = len(past) > wanted.limit
        return {
            "proto": wanted.proto,
            "method": wanted.method,
            "versions": list(reversed(lines[1:] if left else lines)),
            "left": int(left),
        }

    return await working(call, read)


async def failures(backend: Backend, _: Call[protos.Failures]) -> Mapping[str, Any]:
    """`failures`."""
    return {"failures": [failure_object(each) for each in backend.protos.failures.all()]}


async def failure(backend: Backend, call: Call[protos.Failure]) -> Mapping[str, Any]:
    """`failure`."""
    return dict(failure_object(_failed(backend, call.request.proto, call.request.method)))


async def retry(backend: Backend, call: Call[protos.Retry]) -> Mapping[str, Any]:
    """`retry`."""
    wanted = call.request

    def work(_: object) -> Mapping[str, Any]:
        given = _failed(backend, wanted.proto, wanted.method).fresh_arguments()
        if given is None:
            raise CallerError(
                "its arguments are not kept: they are no plain data, or too large",
                next_step="try it with arguments of your own",
            )
        args, kwargs = given
        home = backend.protos
        draft = _draft(home.pin(), wanted.proto, wanted.method, wanted.source, call.author)
        return dict(tried_object(tried(draft, wanted.method, args, kwargs, home)))

    return await working(call, work)


HANDLERS: Mapping[type[Request], Handler] = {
    protos.Protos: list_protos,
    protos.Proto: proto,
    protos.Slot: slot,
    protos.SetSlot: set_slot,
    protos.RemoveSlot: remove_slot,
    protos.SetCodex: set_codex,
    protos.DefineMethod: define_method,
    protos.ForgetMethod: forget_method,
    protos.TryMethod: try_method,
    protos.Versions: versions,
    protos.Failures: failures,
    protos.Failure: failure,
    protos.Retry: retry,
}


def _enrolled(backend: Backend) -> ProtoManager:
    """The image, in which the personas are, also where nobody has needed a society yet."""
    if not set(NAMES) <= set(backend.protos.names()):
        with under_no_command():
            enrol(backend.protos)
    return backend.protos


def _draft(pin: Pin, name: str, method: str, source: str, author: str) -> Proto:
    """A copy of the Proto, in which the method has `source` where that is given. Raises MethodRefused, UnknownProto."""
    draft = pin.get_proto(name).clone()
    try:
        before = draft.method_named(method)
    except AttributeError:
        if not source:
            raise CallerError(f"{name} has no method {method}", next_step="look at its methods") from None
        before = None
    if source and (before is None or source != before.source):
        reads, writes = (before.reads, before.writes) if before is not None else ((), ())
        draft.define(method, source, author=author, reads=reads, writes=writes)
    return draft


def _slot_name(state: Any, proto: str, path: SlotPath) -> str:
    """The path's slot. Raises CallerError where there is none."""
    name = str(path[0])
    if name not in state:
        raise CallerError(f"there is no {slot_path(proto, name)}", next_step="look at its slots again")
    return name


def _codex_value(field: str, text: str) -> Any:
    """What was entered for a part of a codex; whether it can be there, the codex says. Raises CallerError."""
    if field == "pillars":
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    if field in ("temperature", "extra"):
        return read_value(text, plain=False)
    return text


def _changed(wanted: protos.SetSlot | protos.RemoveSlot, changes: Any) -> Mapping[str, Any]:
    return {
        "proto": wanted.proto,
        "path": wanted.path,
        "change": changes[0].generation if changes else None,
    }


def _failed(backend: Backend, proto: str, method: str) -> FailedCall:
    call = backend.protos.failures.of(proto, method)
    if call is None:
        raise UnknownProto(
            f"no failed call of {proto}.{method} is known", next_step="the last of each method is kept, in memory only"
        )
    return call


def _evidence(trial: Tried, arguments: str) -> Mapping[str, Any]:
    return {
        "test": {
            "arguments": arguments,
            "where": trial.where,
            "value": trial.value[:1_000],
            "seconds": round(trial.seconds, 3),
            "changed": list(trial.changed),
        }
    }
