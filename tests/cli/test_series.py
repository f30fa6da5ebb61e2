"""`a4ps series` and `a4ps drift`."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from a4ps.protocol.objects import OBJECTS
from tests.doubles.household import Household, ollama_server

pytestmark = pytest.mark.slow


@pytest.fixture
def person(tmp_path: Path) -> Household:
    return Household(tmp_path)


def test_the_series_of_turns_are_shown(person: Household) -> None:
    assert "No turn has left" in person.run("series").stdout
    person.run("ask", "Tea or coffee for a long night?")
    value = person.json("series")
    TypeAdapter(OBJECTS["series"]).validate_python(value, strict=True, extra="forbid")
    assert {"dissonance", "character.BRICK", "load.tokens"} <= set(value["series"])
    assert list(person.json("series", "diss")["series"]) == ["dissonance"]
    assert "dissonance" in person.run("series").stdout


def test_a_series_that_is_not_there_is_named(person: Household) -> None:
    done = person.run("series", "beauty")
    assert done.returncode == 2
    assert "beauty" in done.stderr


def test_a_rehearsal_is_not_probed(person: Household) -> None:
    done = person.run("drift")
    assert done.returncode == 2
    assert "models pull" in done.stderr


def test_drift_is_measured_with_a_model_and_told_beside_the_first(person: Household) -> None:
    with ollama_server() as address:
        person.environ["A4PS_ENGINE"] = "ollama"
        person.environ["OLLAMA_HOST"] = address
        person.run("models", "pull")
        first = person.json("drift", "brick")
        TypeAdapter(OBJECTS["drift"]).validate_python(first, strict=True, extra="forbid")
        second = person.json("drift", "BRICK")
    assert {probe["persona"] for probe in first["probes"]} == {"BRICK"}
    for name, figure in second["figures"].items():
        assert figure["first"] == first["figures"][name]["now"]
