"""A method called on a copy of its Proto, to see what it does: nothing of the copy is kept."""

from __future__ import annotations

import ast
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from a4ps.errors import CallerError, MethodRefused, Unstorable
from a4ps.image import calls
from a4ps.image.brief import brief
from a4ps.image.failures import FailedCall, failed_call
from a4ps.image.method_pool import shared_pool
from a4ps.image.methods import Method, MethodCall
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.kernel.console_output import Output, kept_apart
from a4ps.sandbox.wire import WireError, encode
from a4ps.tools.records import sendable

OUTPUT_MAX: Final = 20_000
"""Characters of a value's text, and of what a call printed."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it. `value` is a text; `changed` names the slots that it would have changed."""

    where: Literal["sandbox", "in-process"]
    value: str
    output: str
    cut: bool
    seconds: float
    changed: tuple[str, ...] = ()
    failure: FailedCall | None = None


def read_arguments(text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """`3, times=2` as arguments. Raises CallerError where they are not literals."""
    try:
        call = ast.parse(f"_({text}\n)", mode="eval").body
        # A text that closes the bracket makes something else than one call of a name.
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            args = tuple(ast.literal_eval(each) for each in call.args)
            kwargs = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg is not None}
            if len(kwargs) == len(call.keywords):
                return args, kwargs
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        pass
    raise CallerError(f"{brief(text, 60)} are no arguments", next_step="write literals as in a call: 3, times=2")


def tried(
    draft: Proto,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    home: ProtoManager,
    *,
    sandbox: bool = False,
) -> Tried:
    """Call `name` on `draft`, which the caller drops. Blocks; not for an event loop.

    With `sandbox` it runs in one, whoever wrote it: it then has the slots that it reads (all that can be sent, where it
    declares none), and neither codex nor other methods. Raises AttributeError, and MethodRefused where it may not run or
    no sandbox works.
    """
    method = draft.method_named(name)
    in_process = not sandbox and calls.place(method, home).in_process
    output = Output(OUTPUT_MAX)
    began_s = time.monotonic()
    try:
        if in_process:
            value, changed = _here(draft, name, args, kwargs, home, output)
            printed = ""
        else:
            value, changed, printed = _apart(draft, method, args, kwargs, home)
    except MethodRefused:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the method raises is what came of it
        where = "in-process" if in_process else "sandbox"
        failure = failed_call(error, draft.name, draft.version, method, args, kwargs, where, home.store.clock.now())
        return Tried(
            "in-process" if in_process else "sandbox",
            "",
            output.end() or failure.output[:OUTPUT_MAX],
            output.cut or len(failure.output) > OUTPUT_MAX,
            time.monotonic() - began_s,
            failure=failure,
        )
    text = "" if value is None else brief(value, OUTPUT_MAX)
    written = output.end() or printed
    return Tried(
        "in-process" if in_process else "sandbox",
        text,
        written[:OUTPUT_MAX],
        output.cut or len(written) > OUTPUT_MAX or len(text) > OUTPUT_MAX,
        time.monotonic() - began_s,
        changed,
    )


def _here(
    draft: Proto, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], home: ProtoManager, output: Output
) -> tuple[object, tuple[str, ...]]:
    before = draft.content(draft.name).slots

    def work() -> object:
        with kept_apart(output):
            return calls.run(draft, name, args, kwargs, home)

    value = shared_pool().run(f"{draft.name}.{name}", work, home.method_deadline_s)
    after = draft.content(draft.name).slots
    return value, tuple(sorted(slot for slot in {**before, **after} if before.get(slot) != after.get(slot)))


def _apart(
    draft: Proto, method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any], home: ProtoManager
) -> tuple[object, tuple[str, ...], str]:
    if home.code_runner is None:
        raise MethodRefused("there is no sandbox to try it in", next_step="see: a4ps doctor")
    place = calls.place(method, home)
    declares = bool(method.reads or method.writes)
    slots = _sendable_slots(draft, method.reads if declares else tuple(draft.state))
    writes = method.writes if declares else tuple(slots)
    asked = Method(method.name, method.source, method.author, tuple(slots), writes, method.reason)
    result = home.code_runner.run(
        MethodCall(draft.name, asked, args, kwargs, slots, home.method_deadline_s, place.folders, place.writable)
    )
    return result.value, tuple(sorted(result.written)), result.output


def _sendable_slots(draft: Proto, names: tuple[str, ...]) -> dict[str, object]:
    slots: dict[str, object] = {}
    for name in names:
        if name not in draft.state:
            continue
        try:
            value = draft.copy_of(name)
            encode(sendable(value))
        except (WireError, Unstorable):  # it is none that a sandbox can be given
            continue
        slots[name] = value
    return slots
