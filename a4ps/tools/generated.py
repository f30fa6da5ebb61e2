"""Generated inputs of a signature: Hypothesis' strategies for its types, drawn here and judged by properties.py.

Hypothesis runs on this side of the sandbox, which has no need of it: what goes in are values. It is imported when a tool
is first tried. It keeps no database, writes no file and reads no clock, and the same signature gives the same inputs. They
are bounded, so that a right function of them ends: texts of 12 characters, 6 items, numbers to a thousand or a million.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from a4ps.tools.specification import Specification
from a4ps.tools.value_types import ValueType, same

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

INPUTS = 24
LENGTH_MAX = 6
TEXT_MAX = 12

#: At which functions of texts break most.
_TEXTS = ("", " ", "a", "Ünïcode ß\nline", "0", "-1", "  padded  ", "日本")


def generated_inputs(specification: Specification, count: int = INPUTS) -> list[list[Any]]:
    """At most `count` argument lists that fit the signature, the simplest first, each once; the same ones each time."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    found: list[list[Any]] = []

    @settings(
        max_examples=2 * count,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*(strategy_of(parameter.type) for parameter in specification.parameters)))
    def collect(arguments: tuple[Any, ...]) -> None:
        if len(found) < count and not any(same(list(arguments), earlier) for earlier in found):
            found.append(list(arguments))

    collect()
    return found


def strategy_of(kind: ValueType) -> SearchStrategy[Any]:
    """Values of a type."""
    from hypothesis import strategies as st

    inner = [strategy_of(part) for part in kind.inner]
    match kind.head:
        case "Any":
            return st.sampled_from((None, 0, 1.5, "", "text")) | st.builds(list) | st.builds(dict)
        case "|":
            return st.one_of(inner)
        case "list":
            return st.lists(inner[0], max_size=LENGTH_MAX)
        case "tuple...":
            return st.lists(inner[0], max_size=LENGTH_MAX).map(tuple)
        case "tuple":
            return st.tuples(*inner)
        case "set":
            return st.lists(_hashable(inner[0]), max_size=LENGTH_MAX).map(set)
        case "dict":
            return st.lists(st.tuples(_hashable(inner[0]), inner[1]), max_size=LENGTH_MAX).map(dict)
    return _plain(kind.head)


def _plain(name: str) -> SearchStrategy[Any]:
    from hypothesis import strategies as st

    match name:
        case "bool":
            return st.booleans()
        case "int":
            return st.integers(-1_000, 1_000)
        case "float":
            return st.floats(-1e6, 1e6, allow_subnormal=False)
        case "str":
            return st.sampled_from(_TEXTS) | st.text(max_size=TEXT_MAX)
        case "bytes":
            return st.binary(max_size=TEXT_MAX)
        case "date":
            return st.dates(date(1, 1, 1), date(9999, 12, 31))
        case "datetime":
            return st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
        case "time":
            return st.times(time.min, time.max)
        case "timedelta":
            return st.timedeltas(timedelta(days=-1000), timedelta(days=1000))
        case "Decimal":
            return st.decimals(Decimal(-1_000_000), Decimal(1_000_000), allow_nan=False, places=2)
        case "UUID":
            return st.uuids()
    return st.none()


def _hashable(values: SearchStrategy[Any]) -> SearchStrategy[Any]:
    def is_hashable(value: object) -> bool:
        try:
            hash(value)
        except TypeError:
            return False
        return True

    return values.filter(is_hashable)
