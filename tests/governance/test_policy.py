"""Policies, and the one rule that none of them lifts."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.governance.policy import ACTIONS, DEFAULTS, Policy, decide, policy_of
from a4ps.governance.taint import PRIVATE, UNTRUSTED, Taint, as_plain, could_leak, is_tainted, union
from a4ps.governance.ways_out import is_way_out
from a4ps.settings import ActionName, PolicyName, Settings

BOTH = frozenset({PRIVATE, UNTRUSTED})
taints = st.frozensets(st.sampled_from([PRIVATE, UNTRUSTED, "unheard-of"]))
policies = st.dictionaries(st.sampled_from(ACTIONS), st.sampled_from(get_args(PolicyName)))


@given(st.sampled_from([*ACTIONS, "carrier-pigeon"]), policies, taints, st.booleans())
def test_private_and_untrusted_and_a_way_out_is_asked_about_whatever_the_policy(
    kind: str, said: dict[ActionName, PolicyName], taint: Taint, remembered: bool
) -> None:
    decision = decide(kind, said, taint, remembered=remembered)
    if policy_of(kind, said) is Policy.NEVER:
        assert decision.verdict == "refused"
    elif is_way_out(kind) and could_leak(taint):
        assert (decision.verdict, decision.rememberable) == ("ask", False)


@given(st.sampled_from(ACTIONS), policies, taints, st.booleans())
def test_what_was_agreed_to_with_untrusted_data_is_never_remembered(
    kind: str, said: dict[ActionName, PolicyName], taint: Taint, remembered: bool
) -> None:
    decision = decide(kind, said, taint, remembered=remembered)
    if is_tainted(taint):
        assert not decision.rememberable
        assert decision == decide(kind, said, taint, remembered=False)


@given(st.lists(taints))
def test_what_is_made_from_several_things_has_the_labels_of_all(sources: list[Taint]) -> None:
    made = union(*sources)
    assert all(source <= made for source in sources)
    assert all(any(label in source for source in sources) for label in made)
    assert frozenset(as_plain(made)) == made


@pytest.mark.parametrize(
    ("policy", "verdict"), [("always", "allowed"), ("ask", "ask"), ("never", "refused"), (None, "ask")]
)
def test_a_policy_is_kept(policy: PolicyName | None, verdict: str) -> None:
    said: dict[ActionName, PolicyName] = {} if policy is None else {"file-write": policy}
    assert decide("file-write", said, frozenset({PRIVATE})).verdict == verdict


def test_a_remembered_yes_answers_a_policy_of_ask_and_no_other() -> None:
    trusted = frozenset({PRIVATE})
    assert decide("file-write", {}, trusted, remembered=True).verdict == "allowed"
    assert decide("file-write", {"file-write": "never"}, trusted, remembered=True).verdict == "refused"
    assert decide("file-write", {}, BOTH, remembered=True).verdict == "ask"


def test_the_settings_know_every_kind() -> None:
    assert set(DEFAULTS) == set(ACTIONS)
    assert Settings(policies=dict.fromkeys(ACTIONS, "never")).policies["tool-forge"] == "never"
