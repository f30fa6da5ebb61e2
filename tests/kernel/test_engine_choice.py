"""Which engine speaks: the whole decision as a table."""

from __future__ import annotations

import pytest

from a4ps.kernel.engine_choice import Choice, Signs, choose


@pytest.mark.parametrize(
    ("signs", "choice"),
    [
        (Signs("auto", False, False, False, ""), "rehearsal"),
        (Signs("auto", False, False, False, "rehearsal"), "rehearsal"),
        (Signs("auto", True, False, False, ""), "ollama"),
        (Signs("auto", True, True, True, "rehearsal"), "ollama"),
        (Signs("auto", False, True, False, ""), "unreachable"),
        (Signs("auto", False, False, True, ""), "unreachable"),
        (Signs("auto", False, False, False, "ollama"), "unreachable"),
        (Signs("ollama", True, False, False, ""), "ollama"),
        (Signs("ollama", False, False, False, ""), "unreachable"),
        (Signs("rehearsal", True, True, True, "ollama"), "rehearsal"),
        (Signs("rehearsal", False, False, False, ""), "rehearsal"),
    ],
)
def test_a_machine_that_has_ollama_never_rehearses_by_itself(signs: Signs, choice: Choice) -> None:
    assert choose(signs) == choice
