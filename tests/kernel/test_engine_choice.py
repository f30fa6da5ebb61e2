"""Which engine speaks: the whole decision as a table."""

from __future__ import annotations

import pytest

from a4ps.kernel.engine_choice import Choice, Signs, choose


@pytest.mark.parametrize(
    ("signs", "choice"),
    [
        (Signs("auto", False, False, False, False, ""), "rehearsal"),
        (Signs("auto", False, False, False, False, "rehearsal"), "rehearsal"),
        (Signs("auto", True, False, False, False, ""), "ollama"),
        (Signs("auto", True, True, True, True, "rehearsal"), "ollama"),
        (Signs("auto", True, True, True, True, "llamacpp"), "ollama"),
        (Signs("auto", False, False, True, False, ""), "unreachable"),
        (Signs("auto", False, True, True, False, ""), "unreachable"),
        (Signs("auto", False, False, False, True, ""), "unreachable"),
        (Signs("auto", False, False, False, False, "ollama"), "unreachable"),
        (Signs("auto", False, True, False, False, ""), "llamacpp"),
        (Signs("auto", False, True, False, True, "ollama"), "llamacpp"),
        (Signs("auto", False, False, False, False, "llamacpp"), "llamacpp"),
        (Signs("ollama", True, True, False, False, ""), "ollama"),
        (Signs("ollama", False, True, False, False, ""), "unreachable"),
        (Signs("llamacpp", True, False, True, True, "ollama"), "llamacpp"),
        (Signs("rehearsal", True, True, True, True, "ollama"), "rehearsal"),
        (Signs("rehearsal", False, False, False, False, ""), "rehearsal"),
    ],
)
def test_a_machine_that_has_a_model_never_rehearses_by_itself(signs: Signs, choice: Choice) -> None:
    assert choose(signs) == choice
