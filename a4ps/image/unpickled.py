"""What plain.py wrote, read without pickle: for bytes that no MAC vouches for.

A stack machine for the instructions that opcodes.py lists. It has no way to a name: the only functions it can call are
the makers of plain.py, which make plain data, so whatever the bytes are, they come to plain data or to an error.

How far hostile bytes get: work and memory grow with their length only. A key may be nested MAX_KEY_DEPTH deep, all keys
may have MAX_KEY_PARTS parts together, each counted as often as hashing meets it, because a few shared tuples can stand
for a number of parts beyond all time; and there may be MAX_CONTAINERS containers, each of which is a byte of the stream
and two hundred in memory.

Not covered: keys chosen so that their hashes collide. Whoever reads a stranger's file does so where time is limited.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

from a4ps.errors import IntegrityError
from a4ps.image import opcodes, plain
from a4ps.image.plain import Lacking, Schema

MAX_KEY_DEPTH: Final = 500
MAX_KEY_PARTS: Final = 1 << 24
MAX_CONTAINERS: Final = 1 << 24


def loads(data: bytes, start: int) -> object:
    """The value of `data[start:]`, the same that `plain.loads` gives of a trusted stream, but for records.

    A record whose class is not registered here, or has lost a field, becomes a plain.Stranger. Raises IntegrityError
    where `plain.dumps` did not write these bytes; Lacking where they are whole, but this process lacks something that
    they need, or they have more than MAX_CONTAINERS containers.
    """
    # All of them first: bytes for which something is lacking are kept, and may be loaded by pickle once they are ours.
    opcodes.check(data, start)
    try:
        return _Machine(data, start + 2).run()
    except (Lacking, IntegrityError, MemoryError):
        raise
    except Exception as error:
        # Forged bytes hand any argument to any maker, and any value to any instruction.
        raise IntegrityError(f"the stored value cannot be read: {type(error).__name__}: {error}") from error


class _Name:
    """A maker, on the stack. No value: it may be called, and nothing else."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., object]) -> None:
        self.call = call


class _Arguments(tuple[object, ...]):
    """A tuple that holds names or schemas: arguments of a maker, and no value either."""

    __slots__ = ()


_NO_VALUES: Final = frozenset((_Name, _Arguments, Schema))


class _Machine:
    """One stream. `marks` are the stacks below the marks, `stack` the one above the last."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: list[Any] = []
        self.containers = 0
        self.key_parts = 0
        self.blank: dict[int, object] = {}
        self.makers: dict[str, Callable[..., object]] = {
            **plain.MAKERS,
            "Make.schema": _schema,
            "Make.blank": self.make_blank,
            "Make.fill": self.fill_record,
        }

    def run(self) -> object:
        data = self.data
        while (code := data[self.at]) != pickle.STOP[0]:
            self.at += 1
            _STEPS[code](self)
        if self.marks or len(self.stack) != 1 or self.blank:
            raise IntegrityError("the stored value ends before it is whole")
        _need_values(self.stack)
        return self.stack[0]

    # The bytes behind an instruction

    def take(self, count: int) -> bytes:
        begin = self.at
        self.at += count
        return self.data[begin : self.at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def push_container(self, empty: object) -> None:
        self.containers += 1
        if self.containers > MAX_CONTAINERS:
            raise Lacking(f"it has more than {MAX_CONTAINERS:,} containers")
        self.stack.append(empty)

    # Containers

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def unmark(self) -> list[Any]:
        """What lies above the last mark, which is taken away."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.unmark()

    def target(self, kind: type) -> Any:
        found = self.stack[-1]
        if type(found) is not kind:
            raise IntegrityError(f"the stored value fills a {type(found).__name__} as a {kind.__name__}")
        return found

    def append(self, items: list[Any]) -> None:
        _need_values(items)
        self.target(list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        _need_values(items)
        keys = items[::2]
        self.need_hashable(keys)
        self.target(dict).update(zip(keys, items[1::2], strict=True))

    def add_items(self, items: list[Any]) -> None:
        _need_values(items)
        self.need_hashable(items)
        self.target(set).update(items)

    def make_frozenset(self, items: list[Any]) -> None:
        _need_values(items)
        self.need_hashable(items)
        self.push_container(frozenset(items))

    def make_tuple(self, items: list[Any]) -> None:
        self.push_container(tuple(items) if _NO_VALUES.isdisjoint(map(type, items)) else _Arguments(items))

    def make_last(self, count: int) -> None:
        """A tuple of the last `count`."""
        if len(self.stack) < count:
            raise IntegrityError("the stored value makes a tuple of nothing")
        items = self.stack[-count:]
        del self.stack[-count:]
        self.make_tuple(items)

    def need_hashable(self, keys: Iterable[object]) -> None:
        """Raises IntegrityError where hashing `keys` would descend too deep or take too long."""
        for key in keys:
            if type(key) in plain.ATOMS:
                continue
            pending = [iter((key,))]
            while pending:
                part = next(pending[-1], pending)
                if part is pending:
                    pending.pop()
                    continue
                self.key_parts += 1
                below = _hashed_with(part)
                if below:
                    pending.append(iter(below))
                if len(pending) > MAX_KEY_DEPTH or self.key_parts > MAX_KEY_PARTS:
                    raise IntegrityError("the stored value has a key that is too great to be hashed")

    # Names, and what they make

    def name(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if module != plain.MODULE or type(name) is not str or name not in self.makers:
            raise IntegrityError(f"the stored value asks for {module}.{name}, which no stored value may have")
        self.push(_Name(self.makers[name]))

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(arguments) not in (tuple, _Arguments):
            raise IntegrityError("the stored value calls a name without arguments")
        if type(function) is _Name:
            made = function.call(*arguments)
        elif type(function) is Schema and type(arguments) is tuple:
            made = function(*arguments)
        else:
            raise IntegrityError(f"the stored value calls a {type(function).__name__}")
        self.push_container(made)

    def make_blank(self, schema: object) -> object:
        if type(schema) is not Schema:
            raise IntegrityError("a stored record is of no class")
        record = plain.make_blank(schema)
        self.blank[id(record)] = record
        return record

    def fill_record(self, record: object, state: Any) -> None:
        schema, values = state
        if type(values) is not tuple:
            raise IntegrityError("a stored record is filled with what is no value")
        plain.fill_record(record, (schema, values))
        self.blank.pop(id(record), None)


def _need_values(items: Iterable[object]) -> None:
    if not _NO_VALUES.isdisjoint(map(type, items)):
        raise IntegrityError("the stored value has a name where a value should be")


def _hashed_with(value: object) -> tuple[object, ...]:
    """What is hashed whenever `value` is: of a frozenset nothing, as its members' hashes are kept."""
    if type(value) is tuple:
        return value
    schema = None if type(value).__hash__ is object.__hash__ else plain.schema_of(value)
    return () if schema is None else schema.values(value)


def _schema(name: object, fields: object) -> Schema:
    if type(name) is not str or type(fields) is not tuple or not all(type(field) is str for field in fields):
        raise IntegrityError("a stored record names its fields by what is no text")
    try:
        return plain.make_schema(name, fields)
    except Lacking:
        return plain.strange_schema(name, fields)


def _text(machine: _Machine, width: int) -> None:
    machine.push(str(machine.take(machine.number(width)), "utf-8", "surrogatepass"))


def _bytes(machine: _Machine, width: int) -> None:
    machine.push(machine.take(machine.number(width)))


def _bytearray(machine: _Machine) -> None:
    machine.push_container(bytearray(machine.take(machine.number(8))))


def _int(machine: _Machine, width: int) -> None:
    machine.push(int.from_bytes(machine.take(machine.number(width)), "little", signed=True))


def _frame(machine: _Machine) -> None:
    """A frame is for reading ahead; what it holds is read on."""
    if machine.number(8) > len(machine.data) - machine.at:
        raise IntegrityError("the stored value has a frame that ends behind it")


def _keep(machine: _Machine) -> None:
    machine.memo.append(machine.stack[-1])


def _get(machine: _Machine, width: int) -> None:
    machine.push(machine.memo[machine.number(width)])


_STEPS: Final[dict[int, Callable[[_Machine], object]]] = {
    code[0]: step
    for code, step in {
        pickle.NONE: lambda m: m.push(None),
        pickle.NEWTRUE: lambda m: m.push(True),
        pickle.NEWFALSE: lambda m: m.push(False),
        pickle.BININT: lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
        pickle.BININT1: lambda m: m.push(m.number(1)),
        pickle.BININT2: lambda m: m.push(m.number(2)),
        pickle.LONG1: lambda m: _int(m, 1),
        pickle.LONG4: lambda m: _int(m, 4),
        pickle.BINFLOAT: lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
        pickle.SHORT_BINUNICODE: lambda m: _text(m, 1),
        pickle.BINUNICODE: lambda m: _text(m, 4),
        pickle.BINUNICODE8: lambda m: _text(m, 8),
        pickle.SHORT_BINBYTES: lambda m: _bytes(m, 1),
        pickle.BINBYTES: lambda m: _bytes(m, 4),
        pickle.BINBYTES8: lambda m: _bytes(m, 8),
        pickle.BYTEARRAY8: _bytearray,
        pickle.EMPTY_LIST: lambda m: m.push_container([]),
        pickle.EMPTY_DICT: lambda m: m.push_container({}),
        pickle.EMPTY_SET: lambda m: m.push_container(set()),
        pickle.EMPTY_TUPLE: lambda m: m.push(()),
        pickle.APPEND: lambda m: m.append([m.stack.pop()]),
        pickle.APPENDS: lambda m: m.append(m.unmark()),
        pickle.SETITEM: lambda m: m.set_items([m.stack.pop(), m.stack.pop()][::-1]),
        pickle.SETITEMS: lambda m: m.set_items(m.unmark()),
        pickle.ADDITEMS: lambda m: m.add_items(m.unmark()),
        pickle.FROZENSET: lambda m: m.make_frozenset(m.unmark()),
        pickle.TUPLE: lambda m: m.make_tuple(m.unmark()),
        pickle.TUPLE1: lambda m: m.make_last(1),
        pickle.TUPLE2: lambda m: m.make_last(2),
        pickle.TUPLE3: lambda m: m.make_last(3),
        pickle.MARK: _Machine.mark,
        pickle.POP: _Machine.pop,
        pickle.POP_MARK: _Machine.unmark,
        pickle.MEMOIZE: _keep,
        pickle.BINGET: lambda m: _get(m, 1),
        pickle.LONG_BINGET: lambda m: _get(m, 4),
        pickle.STACK_GLOBAL: _Machine.name,
        pickle.REDUCE: _Machine.reduce,
        pickle.FRAME: _frame,
    }.items()
}
