"""C3: the order in which ancestors are asked, and which parents cannot be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import CycleRefused
from a4ps.image.delegation import linearise

NAMES = "abcdefg"


def order(name: str, family: Mapping[str, Sequence[str]]) -> str:
    return "".join(linearise(name, lambda each: family.get(each, "")))


def test_a_child_is_asked_before_its_parents_and_they_in_their_order() -> None:
    assert order("d", {"d": "bc", "b": "a", "c": "a"}) == "dbca"


def test_a_proto_without_parents_stands_alone() -> None:
    assert order("a", {}) == "a"


@pytest.mark.parametrize("family", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "a"}])
def test_parents_that_lead_back_are_refused(family: Mapping[str, str]) -> None:
    with pytest.raises(CycleRefused):
        order("a", family)


def test_parents_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(CycleRefused, match="contradict"):
        order("z", {"z": "xy", "x": "ab", "y": "ba"})


def test_a_chain_may_be_longer_than_pythons_recursion() -> None:
    lineage = linearise("1500", lambda name: (str(int(name) - 1),) if name != "0" else ())
    assert (lineage[0], lineage[-1], len(lineage)) == ("1500", "0", 1501)


def test_an_unknown_parent_raises_what_the_lookup_raises() -> None:
    with pytest.raises(KeyError):
        linearise("a", {"a": ("b",)}.__getitem__)


@given(st.lists(st.lists(st.sampled_from(NAMES), unique=True, max_size=3), min_size=7, max_size=7))
def test_the_order_is_pythons_own(parents: list[list[str]]) -> None:
    """Each name takes parents of earlier names only; Python's classes give the reference."""
    family = {name: [p for p in parents[at] if p < name] for at, name in enumerate(NAMES)}
    classes: dict[str, type] = {}
    for name in NAMES:
        bases = family[name]
        if not all(base in classes for base in bases):
            continue
        try:
            classes[name] = type(name, tuple(classes[base] for base in bases) or (object,), {})
        except TypeError:
            with pytest.raises(CycleRefused):
                linearise(name, family.__getitem__)
        else:
            expected = [cls.__name__ for cls in classes[name].__mro__[:-1]]
            assert list(linearise(name, family.__getitem__)) == expected
