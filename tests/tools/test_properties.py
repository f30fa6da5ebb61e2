"""Properties: what follows from a signature alone, with inputs of Hypothesis' strategies."""

from __future__ import annotations

import pytest

from a4ps.tools.generated import INPUTS, generated_inputs
from a4ps.tools.properties import PropertyReport, check_properties
from a4ps.tools.specification import Specification
from tests.doubles.apart_runner import ApartRunner
from tests.tools.workshop import SLUG, SLUG_SPEC

SLUGIFY = Specification.from_plain(SLUG_SPEC)


def test_inputs_fit_the_signature_and_are_the_same_each_time() -> None:
    inputs = generated_inputs(SLUGIFY)
    assert len(inputs) == INPUTS
    assert inputs == generated_inputs(SLUGIFY)
    assert [""] in inputs
    for arguments in inputs:
        SLUGIFY.bound(arguments, {})


def test_a_right_text_has_no_faults_and_is_tried_in_two_sandboxes() -> None:
    runner = ApartRunner()
    report = check_properties(runner, SLUG, SLUGIFY, 10)
    assert (report.tried, report.faults, report.notes) == (INPUTS, (), ())
    assert len(runner.sources) == 2


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return text[0]", "raised IndexError"),
        ("return len(text)", "which is no str"),
        ("return None if not text else text", "which is no str"),
        ("import random; return str(random.random())", "in another"),
        ("return str(hash(text))", "in another"),
        ("return ','.join({*text, 'x', 'y', 'z'})", "in another"),
        ("return type('Odd', (str,), {})(text)", "no plain value"),
        ("return type('Odd', (list,), {})([text])", "no plain value"),
    ],
)
def test_what_breaks_the_signatures_promise_is_a_fault(body: str, says: str) -> None:
    report = check_properties(ApartRunner(), f"def slugify(text):\n    {body}\n", SLUGIFY, 10)
    assert report.faults
    assert says in report.faults[0]


@pytest.mark.parametrize("raised", ["ValueError", "OverflowError"])
def test_an_argument_that_makes_no_sense_may_be_refused_undeclared(raised: str) -> None:
    source = f"def slugify(text):\n    if not text:\n        raise {raised}('empty')\n    return text\n"
    assert check_properties(ApartRunner(), source, SLUGIFY, 10).faults == ()


def test_a_declared_error_is_no_fault() -> None:
    declared = Specification.from_plain({**SLUG_SPEC, "errors": [{"exception": "IndexError", "when": "empty"}]})
    assert check_properties(ApartRunner(), "def slugify(text):\n    return text[0]\n", declared, 10).faults == ()


def test_a_result_that_may_differ_is_not_held_to_be_the_same() -> None:
    loose = Specification.from_plain({**SLUG_SPEC, "deterministic": False})
    source = "import random\n\ndef slugify(text):\n    return str(random.random())\n"
    assert check_properties(ApartRunner(), source, loose, 10).faults == ()


def test_what_could_not_be_tried_is_a_note_and_no_evidence() -> None:
    source = "def slugify(text):\n    import os\n    os._exit(0)\n"
    report = check_properties(ApartRunner(), source, SLUGIFY, 10)
    assert (report.tried, report.faults) == (0, ())
    assert "could not be tried" in report.notes[0]


def test_a_day_or_amount_is_generated_and_told() -> None:
    ages = Specification.from_plain(
        {**SLUG_SPEC, "parameters": [{"name": "born", "type": "date"}, {"name": "paid", "type": "Decimal"}]}
    )
    source = "def slugify(born, paid):\n    return born.isoformat() + str(paid)\n"
    assert check_properties(ApartRunner(), source, ages, 10) == PropertyReport(INPUTS)
    wrong = "def slugify(born, paid):\n    return born\n"
    assert "slugify(datetime.date(" in check_properties(ApartRunner(), wrong, ages, 10).faults[0]
