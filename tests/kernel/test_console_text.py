"""What is read of an expression: as Python writes it, as far as there is room; and a reason that can be forgotten."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.kernel.console_text import MORE, REASON_MAX, reason_of, shown

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers())
        | st.frozensets(st.text())
    ),
    max_leaves=20,
)


@given(plain, st.integers(0, 60))
def test_a_plain_value_is_written_as_python_does(value: object, limit: int) -> None:
    whole = repr(value)
    assert shown(value, len(whole)) == (whole, False)
    text, cut = shown(value, limit)
    assert cut == (len(whole) > limit)
    assert len(text) <= limit
    assert cut or text == whole


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value", [Point(1, [2]), OrderedDict(a=1), range(3), {}, (), set(), frozenset(), [[]], bytearray(b"x")]
)
def test_others_are_written_by_their_own_repr(value: object) -> None:
    assert shown(value, 1000) == (repr(value), False)


def test_what_holds_itself_or_is_nested_without_end_is_written() -> None:
    own: list[object] = [1]
    own.append({"own": own})
    assert shown(own, 1000) == ("[1, {'own': ...}]", False)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    text, cut = shown(deep, 1000)
    assert cut
    assert text.count("[") == text.count("]") == 40
    del own[:]


def test_an_object_whose_repr_raises_is_named() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise OSError

    assert shown([Mute()], 1000) == ("[<Mute that cannot be written out: OSError>]", False)
    assert shown(10**5000, 1000) == ("<int that cannot be written out: ValueError>", False)


def test_a_short_expression_is_its_own_reason() -> None:
    assert reason_of("\n brick.mood = '''a\nb'''\n") == "brick.mood = '''a\nb'''"
    assert reason_of("x" * REASON_MAX) == "x" * REASON_MAX


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1\n" + "y = 'Jane Doe'; " * 40, "x = 1\n" + ("y = 'Jane Doe'; " * 24).rstrip() + " y ="),
        (f"x = '{'Jane Doe ' * 60}'", "x ="),
        (f"x = '''Jane\nDoe {'.' * REASON_MAX}'''", "x ="),
        (f"x = 1  # Jane Doe {'.' * REASON_MAX}", "x = 1"),
        (f"if x:\n    y = 1\n    z('é', '{'.' * REASON_MAX}')", "if x:\n    y = 1\n    z('é',"),
        (f"'{'.' * REASON_MAX}'", ""),
        ("x = (" + "1 + " * 200, None),
    ],
)
def test_a_longer_one_is_cut_between_two_tokens(source: str, reason: str | None) -> None:
    cut = reason_of(source)
    assert len(cut) <= REASON_MAX + len(MORE)
    assert cut.endswith(MORE.strip())
    if reason is not None:
        assert cut.removesuffix(MORE.strip()).rstrip() == reason
