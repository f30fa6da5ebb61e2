"""Every sandbox that works here keeps the contract; as root, bubblewrap is tested as an unprivileged user."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from a4ps.sandbox.executor import SecureCodeExecutor
from tests.contracts.sandbox_contract import rules
from tests.sandbox.tiers_here import contract_as_nobody, missing, need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
RULES = rules()


@pytest.fixture(scope="module")
def runsc() -> Iterator[SecureCodeExecutor]:
    need("runsc")
    with SecureCodeExecutor(tier="runsc") as executor:
        yield executor


@pytest.mark.parametrize("rule", RULES)
def test_runsc(runsc: SecureCodeExecutor, rule: str) -> None:
    RULES[rule](runsc)


@pytest.fixture(scope="module")
def bubblewrap() -> Iterator[SecureCodeExecutor | dict[str, str]]:
    if os.geteuid() == 0:
        if not shutil.which("bwrap"):
            pytest.skip("bubblewrap is not installed: sudo apt-get install bubblewrap")
        yield contract_as_nobody("bubblewrap")
        return
    need("bubblewrap")
    with SecureCodeExecutor(tier="bubblewrap") as executor:
        yield executor


@pytest.mark.parametrize("rule", RULES)
def test_bubblewrap(bubblewrap: SecureCodeExecutor | dict[str, str], rule: str) -> None:
    if isinstance(bubblewrap, dict):
        assert bubblewrap[rule] == ""
    else:
        RULES[rule](bubblewrap)


def test_bubblewrap_is_no_sandbox_for_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root")
    assert missing("bubblewrap")
