"""The kinds of plain data beyond Python's own, as the wire carries them: a name, and parts of simpler kinds.

complex, bytearray, date, time, datetime, timedelta, timezone, ZoneInfo, Decimal, UUID, numpy arrays of numbers or times,
and records: what a registered frozen dataclass is in a sandbox, which has no class of the host. Standard library only,
and numpy where an array comes by; the guest imports this file too.

Reading believes nothing: parts are held to their types and ranges before any of these types is made of them, so what comes
from a guest costs little and can be no more than an odd value. No class is looked up by a name that was sent.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: Digits and exponent of a Decimal: one of 10^999999 is short, and turned into an int it takes all there is.
DECIMAL_MAX: Final = 10_000
FIELDS_MAX: Final = 1_000

_ZONE: Final = re.compile(r"[A-Za-z0-9_+\-]{1,32}(?:/[A-Za-z0-9_+\-]{1,32}){0,3}")
_DTYPE: Final = re.compile(r"[<>|=](?:b1|[iu][1248]|f[248]|c8|c16|[mM]8(?:\[\d{0,4}[a-zA-Z]{1,2}\])?)")
_DAY_US: Final = 86_400_000_000


class BadKind(ValueError):
    """Parts that make no such value."""


class Record:
    """A record in a sandbox: its class's name, and fields that are read as attributes. Unchangeable; see `replaced`."""

    __slots__ = ("_fields", "_name")
    _name: str
    _fields: dict[str, Any]

    def __init__(self, name: str, fields: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_fields", dict(fields))

    def __getattr__(self, field: str) -> Any:
        try:
            return object.__getattribute__(self, "_fields")[field]
        except KeyError:
            raise AttributeError(f"{self._name} has no field {field!r}") from None

    def __setattr__(self, field: str, value: object) -> None:
        raise AttributeError(f"a record does not change; make another: record.replaced({field}=...)")

    def __delattr__(self, field: str) -> None:
        raise AttributeError(f"a record does not change; it keeps its {field}")

    def __eq__(self, other: object) -> bool:
        return type(other) is Record and (self._name, self._fields) == (other._name, other._fields)

    def __hash__(self) -> int:
        return hash((self._name, tuple(self._fields.items())))

    def __repr__(self) -> str:
        return (
            f"{self._name.rpartition('.')[2]}({', '.join(f'{name}={value!r}' for name, value in self._fields.items())})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Record, (self._name, self._fields)

    def replaced(self, **changes: Any) -> Record:
        """The same with other values. Raises AttributeError for a field that it does not have."""
        unknown = sorted(set(changes) - set(self._fields))
        if unknown:
            raise AttributeError(f"{self._name} has no field {unknown[0]!r}")
        return Record(self._name, {**self._fields, **changes})


def name_and_fields(record: Record) -> tuple[str, dict[str, Any]]:
    """What a record consists of; beside its fields, so that none of them can hide it."""
    return record._name, dict(record._fields)


def parts_of(value: Any) -> tuple[Any, ...] | None:
    """A kind's name and its parts, None for a value that is of none of them. Types are meant exactly."""
    taken_apart = _APART.get(type(value))
    if taken_apart is not None:
        return taken_apart(value)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray and _DTYPE.fullmatch(value.dtype.str):
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        return "array", value.dtype.str, tuple(value.shape), order, value.tobytes(order)
    return None


def made_of(parts: object) -> Any:
    """The inverse. Raises BadKind."""
    if type(parts) is not tuple or not parts or type(parts[0]) is not str:
        raise BadKind("a value without a kind")
    make = _TOGETHER.get(parts[0])
    if make is None:
        raise BadKind(f"no kind of value is called {parts[0][:40]!r}")
    try:
        return make(*parts[1:])
    except BadKind:
        raise
    except (TypeError, ValueError, OverflowError, OSError, ImportError, InvalidOperation, MemoryError) as error:
        raise BadKind(f"a {parts[0]} that is none: {type(error).__name__}") from error


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise BadKind(what)


def _numbers(*values: object) -> None:
    _need(all(type(each) is int and abs(each) < 1 << 62 for each in values), "parts that are no numbers")


def _zone_of(value: object) -> tzinfo | None:
    _need(value is None or type(value) in (timezone, ZoneInfo), "a time zone that is none")
    return value  # type: ignore[return-value]


def _date(year: int, month: int, day: int) -> date:
    _numbers(year, month, day)
    return date(year, month, day)


def _time(hour: int, minute: int, second: int, us: int, fold: int, zone: object) -> time:
    _numbers(hour, minute, second, us, fold)
    return time(hour, minute, second, us, _zone_of(zone), fold=fold)


def _datetime(
    year: int, month: int, day: int, hour: int, minute: int, second: int, us: int, fold: int, zone: object
) -> datetime:
    _numbers(year, month, day, hour, minute, second, us, fold)
    return datetime(year, month, day, hour, minute, second, us, _zone_of(zone), fold=fold)


def _timedelta(days: int, seconds: int, us: int) -> timedelta:
    _numbers(days, seconds, us)
    return timedelta(days, seconds, us)


def _timezone(offset_us: int, name: str | None) -> timezone:
    _numbers(offset_us)
    _need(abs(offset_us) < _DAY_US, "an offset of a day or more")
    if name is None:
        return timezone(timedelta(microseconds=offset_us))
    _need(type(name) is str and len(name) <= 64, "a time zone without a name")
    return timezone(timedelta(microseconds=offset_us), name)


def _zone(key: str) -> ZoneInfo:
    _need(type(key) is str and _ZONE.fullmatch(key) is not None, "a time zone without a key")
    try:
        return ZoneInfo(key)
    except ZoneInfoNotFoundError:
        raise BadKind(f"the time zone {key!r}, which is not known here") from None


def _decimal(text: str) -> Decimal:
    _need(type(text) is str and len(text) <= DECIMAL_MAX, "a Decimal that is too long")
    value = Decimal(text)
    _need(not value.is_snan(), "a Decimal that raises when it is compared")
    _need(not value.is_finite() or abs(value.adjusted()) <= DECIMAL_MAX, "a Decimal out of range")
    return value


def _uuid(content: bytes) -> UUID:
    _need(type(content) is bytes and len(content) == 16, "a UUID of another length")
    return UUID(bytes=content)


def _complex(real: float, imag: float) -> complex:
    _need(type(real) is float and type(imag) is float, "a complex that is none")
    return complex(real, imag)


def _bytearray(content: bytes) -> bytearray:
    _need(type(content) is bytes, "a bytearray without bytes")
    return bytearray(content)


def _array(dtype: str, shape: tuple[int, ...], order: str, content: bytes) -> Any:
    _need(
        type(dtype) is str and _DTYPE.fullmatch(dtype) is not None, "an array of something else than numbers or times"
    )
    _need(type(shape) is tuple and len(shape) <= 32 and order in ("C", "F"), "an array without a shape")
    _need(all(type(each) is int and 0 <= each < 1 << 40 for each in shape), "an array without a shape")
    _need(type(content) is bytes, "an array without bytes")
    numpy: Any = importlib.import_module("numpy")
    kind = numpy.dtype(dtype)
    count = 1
    for each in shape:
        count *= each
    _need(count * kind.itemsize == len(content), "an array whose bytes are not those of its shape")
    if kind.kind == "b":  # of a byte that is neither 0 nor 1 numpy promises nothing
        content = (numpy.frombuffer(content, "u1") != 0).tobytes()
    return numpy.ndarray(shape, kind, bytearray(content), order=order)


def _record(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Record:
    _need(type(name) is str and len(name) <= 400, "a record without a name")
    _need(type(fields) is tuple and type(values) is tuple and len(fields) == len(values), "a record of another size")
    _need(len(fields) <= FIELDS_MAX and len(set(fields)) == len(fields), "a record with too many fields")
    _need(all(type(each) is str and each.isidentifier() for each in fields), "a record whose fields have no names")
    return Record(name, dict(zip(fields, values, strict=True)))


def _offset_us(zone: timezone) -> int:
    return zone.utcoffset(None) // timedelta(microseconds=1)


def _timezone_parts(zone: timezone) -> tuple[Any, ...]:
    given = zone.__getinitargs__()  # type: ignore[attr-defined]
    return "timezone", _offset_us(zone), given[1] if len(given) > 1 else None


def _zone_parts(zone: ZoneInfo) -> tuple[Any, ...] | None:
    return None if zone.key is None else ("zone", zone.key)


def _decimal_parts(value: Decimal) -> tuple[Any, ...] | None:
    text = str(value)
    fits = (
        len(text) <= DECIMAL_MAX
        and not value.is_snan()
        and (not value.is_finite() or abs(value.adjusted()) <= DECIMAL_MAX)
    )
    return ("decimal", text) if fits else None


def _clock(value: time | datetime) -> Iterator[Any]:
    yield from (value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo)


_APART: Final[dict[type, Callable[[Any], tuple[Any, ...] | None]]] = {
    complex: lambda value: ("complex", value.real, value.imag),
    bytearray: lambda value: ("bytearray", bytes(value)),
    date: lambda value: ("date", value.year, value.month, value.day),
    time: lambda value: ("time", *_clock(value)),
    datetime: lambda value: ("datetime", value.year, value.month, value.day, *_clock(value)),
    timedelta: lambda value: ("timedelta", value.days, value.seconds, value.microseconds),
    timezone: _timezone_parts,
    ZoneInfo: _zone_parts,
    Decimal: _decimal_parts,
    UUID: lambda value: ("uuid", value.bytes),
    Record: lambda value: ("record", value._name, tuple(value._fields), tuple(value._fields.values())),
}
_TOGETHER: Final[dict[str, Callable[..., Any]]] = {
    "complex": _complex,
    "bytearray": _bytearray,
    "date": _date,
    "time": _time,
    "datetime": _datetime,
    "timedelta": _timedelta,
    "timezone": _timezone,
    "zone": _zone,
    "decimal": _decimal,
    "uuid": _uuid,
    "array": _array,
    "record": _record,
}
