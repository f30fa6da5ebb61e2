"""Plain data and its bytes: pickle protocol 5 that can make nothing but the values named here.

Plain are None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, the types of
`datetime`, ZoneInfo, Decimal, UUID, numpy arrays whose dtype holds no objects, and registered records. Types are meant
exactly: a subclass is somebody else's. Aliases and cycles are kept, at any depth.

What a stream may ask for is a name in `MAKERS`; these names, and `a4ps.image.plain`, are part of the format and stay.
Even a stream forged with the right key can only make odd values of these types; it cannot run code.

Not covered: a record that is reached through a set or a key inside itself and hashes by its fields, which cannot be
read back (as with pickle itself); what a UUID says of its safety.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import io
import operator
import pickle
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final, NoReturn, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from a4ps.errors import CallerError, IntegrityError
from a4ps.image.deep_pickler import DeepPickler

_Record = TypeVar("_Record", bound=type)
Added = tuple[str, Callable[[], object]]
"""A field that a record has gained since it was written, and what makes its value."""

MODULE: Final = "a4ps.image.plain"
"""Where a stream says that its names are."""


class Refused(Exception):
    """`culprit`, somewhere inside the value, is not plain data."""

    def __init__(self, culprit: object) -> None:
        super().__init__(type(culprit).__name__)
        self.culprit = culprit


class Lacking(Exception):
    """The bytes are whole, but this process lacks something that they need; the message says what."""


def dumps(value: object) -> bytes:
    """The bytes of plain data. Raises Refused."""
    if type(value) in ATOMS:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, pickle.HIGHEST_PROTOCOL, buffer_callback=_refuse)
    try:
        pickler.dump(value)
    except RecursionError:
        return DeepPickler(_reduce, MODULE).dumps(value)
    return buffer.getvalue()


def loads(data: bytes, start: int) -> object:
    """The value of `data[start:]`, for which a MAC must vouch; any other bytes are for unpickled.py.

    Raises IntegrityError where `dumps` did not write these bytes, Lacking. Names are held to `MAKERS` even so.
    """
    stream = io.BytesIO(data)
    stream.seek(start)
    try:
        return _Unpickler(stream).load()
    except (Lacking, IntegrityError):
        raise
    except Exception as error:
        # Forged bytes hand any argument to any maker.
        raise IntegrityError(f"the stored value cannot be read: {error}") from error


@dataclasses.dataclass(frozen=True, slots=True)
class RecordMigration:
    """How a record that was kept with other fields becomes one of today.

    `upgrade` is given the old values by their names and returns those of all present fields; it is called each time that
    such a record is read, and what is stored is written anew by the next change of its slot only. `dated` and
    `description` are for people.
    """

    fields: tuple[str, ...]
    dated: str
    description: str
    upgrade: Callable[[dict[str, object]], Mapping[str, object]]


def register_record(cls: _Record, *, migrations: Sequence[RecordMigration] = ()) -> _Record:
    """Let instances of `cls`, a frozen dataclass, be part of plain data; usable as a decorator.

    They are kept by qualified name and field names. Where one was kept with other fields, the migration from just these
    makes it one of today; without one, a field that was added since takes its default, and one that was dropped or has no
    default makes the slot a placeholder. `__post_init__` is not run on loading. Registering a name again replaces its
    class, as a reloaded module does. Raises CallerError where `cls` is not a frozen dataclass.
    """
    parameters = getattr(cls, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen or "__dataclass_params__" not in vars(cls):
        raise CallerError(
            f"{cls.__qualname__} is not a frozen dataclass", next_step="declare it with @dataclass(frozen=True)"
        )
    name = f"{cls.__module__}.{cls.__qualname__}"
    fields = tuple(field.name for field in dataclasses.fields(cls))
    _records[name] = _writers[cls] = Schema(cls, name, fields)
    _migrations[name] = {step.fields: step for step in migrations}
    return cls


def blank_record(name: str, fields: tuple[str, ...]) -> tuple[object, Callable[[tuple[object, ...]], None]]:
    """A record without its values, and what gives them to it, once; a Stranger where it cannot be made here."""
    try:
        schema = make_schema(name, fields)
    except Lacking:
        schema = strange_schema(name, fields)
    record = make_blank(schema)
    return record, lambda values: fill_record(record, (schema, values))


def record_of(name: str, values: Mapping[str, object]) -> object:
    """A record of a registered class, made by its own constructor, for values that nobody vouches for.

    Raises Lacking where no such class is registered or its fields are others, and whatever the class raises.
    """
    schema = _records.get(name)
    if schema is None:
        raise Lacking(f"no record {name[:80]!r} is registered in this process")
    if set(values) != set(schema.fields):
        raise Lacking(f"its fields are {', '.join(schema.fields)}")
    made: object = schema.cls(**values)
    return made


def schema_of(value: object) -> Schema | None:
    """The schema of a registered record or a Stranger, None for anything else."""
    return value.schema if type(value) is Stranger else _writers.get(type(value))


class Schema:
    """A record class and the fields that a stream gives for it, in that order; called with their values, a record."""

    __slots__ = ("_get", "added", "cls", "direct", "fields", "migration", "name")

    def __init__(
        self,
        cls: type,
        name: str,
        fields: tuple[str, ...],
        added: tuple[Added, ...] = (),
        migration: RecordMigration | None = None,
    ) -> None:
        self.cls = cls
        self.name = name
        self.fields = fields
        self.added = added
        self.migration = migration
        slotted = any(isinstance(getattr(cls, field, None), types.MemberDescriptorType) for field in fields)
        self.direct = not slotted and not added and migration is None and cls is not Stranger
        # With fewer than two names an attrgetter gives no tuple.
        self._get = operator.attrgetter(*fields) if len(fields) > 1 else None

    def values(self, record: object) -> tuple[object, ...]:
        """Raises AttributeError where the record was not made whole."""
        if type(record) is Stranger:
            return record.values
        if self._get is not None:
            return self._get(record)
        return tuple([getattr(record, field) for field in self.fields])

    def __call__(self, *values: object) -> object:
        record: object = object.__new__(self.cls)
        if self.direct and len(values) == len(self.fields):
            # Loading many records is spent here: neither the call of `fill` nor `strict` comes for nothing.
            record.__dict__.update(zip(self.fields, values))  # noqa: B905
        else:
            self.fill(record, values)
        return record

    def fill(self, record: object, values: tuple[object, ...]) -> None:
        if len(values) != len(self.fields):
            raise IntegrityError(f"a stored {self.name} has {len(values)} values for {len(self.fields)} fields")
        if self.direct:
            record.__dict__.update(zip(self.fields, values, strict=True))
            return
        if isinstance(record, Stranger):
            record.schema, record.values = self, values
            return
        given: Mapping[str, object] = dict(zip(self.fields, values, strict=True))
        if self.migration is not None:
            given = self._migrated(self.migration, dict(given))
        for field, value in given.items():
            object.__setattr__(record, field, value)
        for field, make in self.added:
            object.__setattr__(record, field, make())

    def _migrated(self, migration: RecordMigration, old: dict[str, object]) -> Mapping[str, object]:
        what = f"the migration of {self.name} dated {migration.dated}"
        try:
            new = dict(migration.upgrade(old))
        except Exception as error:
            # Somebody else's code; what it cannot read stays as it is stored.
            raise Lacking(f"{what} failed: {type(error).__name__}: {error}") from error
        wanted = _records[self.name].fields
        if set(new) != set(wanted):
            raise Lacking(f"{what} gave {', '.join(map(str, new))} where the fields are {', '.join(wanted)}")
        return new


class Stranger:
    """A record that a process read which does not know its class; written as what it was. Equal to itself only."""

    __slots__ = ("schema", "values")

    schema: Schema
    values: tuple[object, ...]


_records: dict[str, Schema] = {}
_migrations: dict[str, dict[tuple[str, ...], RecordMigration]] = {}
_writers: dict[type, Schema] = {}


class _Maker:
    """Stands in a stream for one entry of `MAKERS`, so that no class or function of a user is ever written."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *_: object) -> NoReturn:
        raise TypeError(f"{self.name} is a name in a stream")


class Make:
    """Where the C pickler looks a maker's name up before it writes it."""

    datetime = _Maker("Make.datetime")
    date = _Maker("Make.date")
    time = _Maker("Make.time")
    timedelta = _Maker("Make.timedelta")
    timezone = _Maker("Make.timezone")
    zone = _Maker("Make.zone")
    decimal = _Maker("Make.decimal")
    uuid = _Maker("Make.uuid")
    complex = _Maker("Make.complex")
    array = _Maker("Make.array")
    schema = _Maker("Make.schema")
    blank = _Maker("Make.blank")
    fill = _Maker("Make.fill")


@functools.lru_cache(maxsize=1024)
def strange_schema(name: str, fields: tuple[str, ...]) -> Schema:
    """The schema of a Stranger."""
    return Schema(Stranger, name, fields)


def make_zone(key: str) -> ZoneInfo:
    try:
        return ZoneInfo(key)
    except ZoneInfoNotFoundError:
        raise Lacking(f"this machine does not know the time zone {key!r}") from None


def make_array(descriptor: object, shape: tuple[int, ...], order: str, content: bytes) -> object:
    try:
        numpy: Any = importlib.import_module("numpy")
    except ImportError:
        raise Lacking("it holds a numpy array, and numpy is not installed") from None
    dtype = numpy.lib.format.descr_to_dtype(descriptor)
    if dtype.hasobject:
        raise IntegrityError("a stored array has a dtype with objects")
    return numpy.ndarray(shape, dtype, bytearray(content), order=order)


def make_schema(name: str, fields: tuple[str, ...]) -> Schema:
    current = _records.get(name)
    if current is None:
        raise Lacking(f"the record {name} is not registered in this process")
    if current.fields == fields:
        return current
    migration = _migrations[name].get(fields)
    if migration is not None:
        return Schema(current.cls, name, fields, migration=migration)
    dropped = set(fields) - set(current.fields)
    if dropped:
        raise Lacking(f"the record {name} has lost the field {min(dropped)!r}")
    added: list[Added] = []
    for field in dataclasses.fields(current.cls):
        if field.name in fields:
            continue
        if field.default is not dataclasses.MISSING:
            added.append((field.name, functools.partial(_itself, field.default)))
        elif field.default_factory is not dataclasses.MISSING:
            added.append((field.name, field.default_factory))
        else:
            raise Lacking(f"the record {name} has gained the field {field.name!r}, which has no default")
    return Schema(current.cls, name, fields, tuple(added))


def _itself(value: object) -> object:
    return value


def make_blank(schema: Schema) -> object:
    return object.__new__(schema.cls)


def fill_record(record: object, state: tuple[Schema, tuple[object, ...]]) -> None:
    schema, values = state
    if type(schema) is not Schema or type(record) is not schema.cls:
        raise IntegrityError("a stored record is filled as another kind")
    schema.fill(record, values)


MAKERS: Final[dict[str, Callable[..., object]]] = {
    "Make.datetime": datetime,
    "Make.date": date,
    "Make.time": time,
    "Make.timedelta": timedelta,
    "Make.timezone": timezone,
    "Make.zone": make_zone,
    "Make.decimal": Decimal,
    "Make.uuid": lambda content: UUID(bytes=content),
    "Make.complex": complex,
    "Make.array": make_array,
    "Make.schema": make_schema,
    "Make.blank": make_blank,
    "Make.fill": fill_record,
}

ATOMS: Final = frozenset((type(None), bool, int, float, str, bytes))


def _by_constructor(maker: _Maker) -> Callable[[Any], tuple[Any, ...]]:
    """For a type whose own reduction is its constructor and plain arguments."""
    return lambda value: (maker, value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)[1])


def _reduce_zone(zone: ZoneInfo) -> tuple[Any, ...]:
    if zone.key is None:
        raise Refused(zone)
    return (Make.zone, (zone.key,))


_REDUCTIONS: Final[dict[type, Callable[[Any], str | tuple[Any, ...]]]] = {
    datetime: _by_constructor(Make.datetime),
    date: _by_constructor(Make.date),
    time: _by_constructor(Make.time),
    timedelta: _by_constructor(Make.timedelta),
    timezone: lambda value: (Make.timezone, value.__getinitargs__()),
    ZoneInfo: _reduce_zone,
    Decimal: lambda value: (Make.decimal, (str(value),)),
    UUID: lambda value: (Make.uuid, (value.bytes,)),
    complex: lambda value: (Make.complex, (value.real, value.imag)),
    _Maker: operator.attrgetter("name"),
    Stranger: lambda record: (Make.blank, (record.schema,), (record.schema, record.values), None, None, Make.fill),
    Schema: lambda schema: (Make.schema, (schema.name, schema.fields)),
}


def _reduce(value: object) -> str | tuple[Any, ...]:
    """How one value that pickle has no instruction for is written: a maker or schema, and its arguments. Raises Refused.

    A record whose fields are all atoms is made at once; any other is made blank and then filled, because its fields
    may lead back to it.
    """
    kind = type(value)
    schema = _writers.get(kind)
    if schema is not None:
        try:
            values = schema.values(value)
        except AttributeError:
            raise Refused(value) from None
        if ATOMS.issuperset(map(type, values)):
            return (schema, values)
        return (Make.blank, (schema,), (schema, values), None, None, Make.fill)
    reduction = _REDUCTIONS.get(kind)
    if reduction is not None:
        return reduction(value)
    return (Make.array, array_parts(value))


def is_array(value: object) -> bool:
    """Whether `value` is a numpy array, not of a subclass; numpy is not imported to find out."""
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray


def array_parts(value: Any) -> tuple[object, tuple[int, ...], str, bytes]:
    """The dtype's description, shape, order ("C" or "F") and content of a numpy array. Raises Refused."""
    if not is_array(value) or value.dtype.hasobject:
        raise Refused(value)
    numpy: Any = sys.modules["numpy"]
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    return numpy.lib.format.dtype_to_descr(value.dtype), value.shape, order, value.tobytes(order)


def _refuse(culprit: object) -> NoReturn:
    raise Refused(culprit)


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: object) -> Any:
        return _reduce(obj)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == MODULE and name in MAKERS:
            return MAKERS[name]
        raise IntegrityError(f"the stored value asks for {module}.{name}, which no stored value may have")
