"""One slot of a Proto and its bytes: plain data, a declared opaque value, or a placeholder for what cannot be read.

    tag        1 byte: P plain, O opaque, F opaque of a foreign image
    version    1 byte: 1
    P          a pickle 5 stream that plain.py wrote
    O, F       length of the Python version (1 byte), that version ("3.11"), the bytes of dill

Aliases and cycles are kept within a slot, not between slots. An encoded slot has at most MAX_SLOT_BYTES.

dill writes bytecode, so its bytes are for the Python that wrote them and can run code: they are loaded only on the same
minor version, and only where the caller says `trusted`, which means that it verified the MAC of the row they come from.
What came from a foreign image is never loaded, whoever signed it since: the tag F goes with it.
"""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from a4ps.errors import IntegrityError, Unstorable
from a4ps.image import plain, unpickled
from a4ps.image.plain import RecordMigration, register_record

__all__ = [
    "MAX_SLOT_BYTES",
    "Opaque",
    "Placeholder",
    "RecordMigration",
    "as_foreign",
    "as_own",
    "decode_slot",
    "encode_slot",
    "opaque",
    "register_record",
]

MAX_SLOT_BYTES: Final = 128 * 1024 * 1024
"""Half of what a row may have, so that one great slot leaves room for the rest of its Proto."""

_PLAIN, _OPAQUE, _FOREIGN = b"P", b"O", b"F"
_VERSION = 1
_PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
_WAKE = "leave it out of the state: on_wake makes it anew and keeps it in live"
_SOURCE = "give the Proto a method with `define`, or store a name"

_LIVE: Final = frozenset(
    """
    _thread.lock _thread.RLock threading.Thread threading.Event threading.Condition threading.Semaphore
    threading.Barrier threading._RLock _thread._local _thread._localdummy multiprocessing.process.BaseProcess
    socket.socket _socket.socket ssl.SSLSocket ssl.SSLContext select.epoll subprocess.Popen mmap.mmap sqlite3.Connection
    _asyncio.Future _asyncio.Task asyncio.futures.Future asyncio.tasks.Task asyncio.events.AbstractEventLoop
    asyncio.locks.Lock asyncio.locks.Event asyncio.locks.Condition asyncio.locks.Semaphore asyncio.queues.Queue
    concurrent.futures._base.Future concurrent.futures._base.Executor queue.Queue _queue.SimpleQueue
    builtins.generator builtins.coroutine builtins.async_generator builtins.frame builtins.traceback
    _io.FileIO _io.BufferedReader _io.BufferedWriter _io.BufferedRandom _io.TextIOWrapper
    """.split()
)
"""Things that live in this process only, by qualified name, so that none of their modules must be imported."""

_CODE: Final = frozenset(
    """
    builtins.function builtins.builtin_function_or_method builtins.method builtins.type builtins.code builtins.module
    functools.partial
    """.split()
)

# dill keeps state of its own while it works; what it loads may come back here.
_dill_lock = threading.RLock()


@dataclass(frozen=True, slots=True)
class Opaque:
    """A slot's value that is not plain data and was declared to be kept with dill. Made by `opaque`."""

    value: object


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A slot that this process cannot read: its bytes, which it keeps exactly, and the reason, a sentence's end."""

    data: bytes = field(repr=False)
    path: str = field(compare=False)
    why: str = field(compare=False)


def opaque(value: object) -> Opaque:
    """Declare that a slot's value may be kept by dill; it is read back as an Opaque, on the same Python only."""
    return Opaque(value)


def encode_slot(value: object, path: str) -> bytes:
    """The bytes of a slot's value; those of a Placeholder are the bytes it was made of.

    `path` names the slot in errors, such as `state["a"]`. Raises Unstorable, with the path of the very object that
    cannot be kept, where the value holds anything but plain data, or (opaque) what dill cannot keep; or where the
    bytes are more than MAX_SLOT_BYTES.
    """
    if isinstance(value, Placeholder):
        return value.data
    if isinstance(value, Opaque):
        data = _encode_opaque(value, path)
    else:
        try:
            data = b"P\x01" + plain.dumps(value)
        except plain.Refused as refused:
            raise _unstorable(value, path, refused.culprit) from None
    if len(data) > MAX_SLOT_BYTES:
        raise Unstorable(
            f"{path} has {len(data)} bytes, more than the {MAX_SLOT_BYTES} that a slot may have",
            path=path,
            next_step="divide it among several slots, or keep it in a file",
        )
    return data


def decode_slot(data: bytes, path: str, *, trusted: bool = False) -> object:
    """The value of an encoded slot; of an opaque one, an Opaque.

    `trusted` says that the caller verified the MAC of the row that holds `data`; without it nothing opaque is loaded,
    nothing is unpickled (see unpickled.py), and a record that is not registered is a plain.Stranger.
    What is whole but cannot be read here (an unregistered record, another Python's opaque value, a later version of
    this format) is returned as a Placeholder; so is anything trusted that cannot be read. Raises IntegrityError where
    the bytes are not a slot's, or untrusted and made to do anything but hold plain data; nothing is run to find out.
    """
    tag, version = data[:1], data[1] if len(data) > 1 else 0
    if tag not in (_PLAIN, _OPAQUE, _FOREIGN) or version == 0 or len(data) > MAX_SLOT_BYTES:
        raise IntegrityError(f"{path} does not hold a slot's bytes", next_step="run: a4ps image verify --deep")
    if version > _VERSION:
        return Placeholder(data, path, "it was written by a newer A4PS")
    if tag == _FOREIGN:
        return Placeholder(data, path, "it is an opaque value of a foreign image, which is never loaded")
    try:
        if tag == _OPAQUE:
            return _decode_opaque(data, trusted)
        return plain.loads(data, 2) if trusted else unpickled.loads(data, 2)
    except plain.Lacking as lacking:
        return Placeholder(data, path, str(lacking))
    except IntegrityError as error:
        if trusted:
            return Placeholder(data, path, error.message)
        raise IntegrityError(
            f"{path} is damaged or forged: {error.message}", next_step="run: a4ps image verify --deep"
        ) from error.__cause__


def as_foreign(data: bytes) -> bytes:
    """The bytes of a slot as they may enter this image from another one: nothing opaque in them is ever loaded."""
    return _FOREIGN + data[1:] if data[:1] == _OPAQUE else data


def as_own(data: bytes) -> bytes:
    """The bytes of a slot as its first image wrote them; for comparing and exporting, never for keeping."""
    return _OPAQUE + data[1:] if data[:1] == _FOREIGN else data


def _encode_opaque(value: Opaque, path: str) -> bytes:
    with _dill_lock:
        try:
            content = _dill_dumps(value.value)
        except plain.Refused as refused:
            raise _unstorable(value.value, path, refused.culprit) from None
        except Exception as error:
            raise Unstorable(
                f"dill cannot keep {path}: {type(error).__name__}: {error}",
                path=path,
                next_step="leave out what cannot be kept and make it anew in on_wake",
            ) from error
    return b"".join((_OPAQUE, bytes((_VERSION, len(_PYTHON))), _PYTHON.encode(), content))


def _dill_dumps(value: object) -> bytes:
    import dill  # type: ignore[import-untyped]

    class Guarded(dill.Pickler):  # type: ignore[misc]
        """dill keeps locks and open files in ways that wake up broken; each object is looked at first."""

        def persistent_id(self, obj: object) -> None:
            if _names(type(obj)) & _LIVE:
                raise plain.Refused(obj)

    buffer = io.BytesIO()
    Guarded(buffer, protocol=5).dump(value)
    return buffer.getvalue()


def _decode_opaque(data: bytes, trusted: bool) -> object:
    end = 3 + data[2] if len(data) > 2 else 0
    python = data[3:end].decode("ascii", "replace")
    if not python or len(data) <= end:
        raise IntegrityError("it is cut short")
    if python != _PYTHON:
        raise plain.Lacking(f"it is an opaque value of Python {python}, and this is {_PYTHON}")
    if not trusted:
        raise plain.Lacking("it is an opaque value, and its signature was not verified")
    import dill

    with _dill_lock:
        try:
            return Opaque(dill.loads(data[end:]))  # noqa: S301 - signed by this image's key, as `trusted` says
        except Exception as error:
            # Loading runs the value's own code, which may raise anything.
            raise plain.Lacking(f"loading the opaque value failed: {type(error).__name__}: {error}") from error


def _unstorable(root: object, path: str, culprit: object) -> Unstorable:
    where = _find(root, path, culprit)
    kind = type(culprit)
    names = _names(kind)
    if names & _LIVE:
        advice = _WAKE
    elif names & _CODE:
        advice = _SOURCE
    elif kind is Opaque or kind is Placeholder:
        advice = "let it be the whole value of a slot of its own"
    elif getattr(kind, "__dataclass_params__", None) is not None:
        advice = "make it a frozen dataclass and register it with register_record, or declare the slot with opaque(...)"
    else:
        advice = "convert it to plain data, or declare the slot with opaque(...)"
    return Unstorable(
        f"{where} is a {kind.__module__}.{kind.__qualname__}, which cannot be kept in the image".replace(
            "builtins.", ""
        ),
        path=where,
        next_step=advice,
    )


def _names(kind: type) -> set[str]:
    return {f"{cls.__module__}.{cls.__qualname__}" for cls in kind.__mro__}


def _find(root: object, path: str, culprit: object) -> str:
    """The path to `culprit` by the first way found; the slot's own where it lies behind something impenetrable."""
    pending: list[tuple[str, object]] = [(path, root)]
    seen: set[int] = set()
    kept = []
    while pending:
        where, value = pending.pop()
        if value is culprit:
            return where
        if id(value) in seen or isinstance(value, (str, bytes, int, float)):
            continue
        seen.add(id(value))
        kept.append(value)
        pending.extend(reversed([(where + step, child) for step, child in _children(value)]))
    return path


def _children(value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for index, (key, child) in enumerate(value.items()):
            yield f".keys()[{index}]", key
            yield f"[{_key(key, index)}]", child
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            yield f"[{index}]", child
    elif isinstance(value, (set, frozenset)):
        for index, child in enumerate(value):
            yield f".members()[{index}]", child
    elif hasattr(value, "tzinfo"):
        yield ".tzinfo", value.tzinfo
    schema = plain.schema_of(value)
    names = list(schema.fields if schema else ())
    names += [name for name in getattr(value, "__dict__", ()) if name not in names]
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        names += [name for name in ([slots] if isinstance(slots, str) else slots) if name not in names]
    for name in names:
        if isinstance(name, str) and not name.startswith("__"):
            try:
                yield f".{name}", getattr(value, name)
            except Exception:  # noqa: BLE001, S112 - a stranger's attribute may raise anything; it is only searched
                continue


def _key(key: object, index: int) -> str:
    if type(key) is str:
        return json.dumps(key, ensure_ascii=False)
    return repr(key) if type(key) in (int, float, bool, bytes, type(None)) else f"<key {index}>"
