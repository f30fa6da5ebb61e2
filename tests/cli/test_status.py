"""`a4ps status`: whether a backend runs, and what it does."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from a4ps.protocol.objects import StatusObject
from tests.doubles.household import Household
from tests.doubles.standing import backend_of, standing

pytestmark = pytest.mark.slow


def test_where_none_runs_it_says_so_and_starts_none(tmp_path: Path) -> None:
    person = Household(tmp_path)
    assert person.json("status", expect=1) == {"up": False, "backend": None}
    shown = person.run("status")
    assert shown.returncode == 1
    assert shown.stdout == "No backend is running. A command starts one for a while; to have it stay: a4ps up\n"
    assert not person.home.exists()


def test_what_a_backend_is_and_does(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with standing(person) as (process, _):
        fresh = backend_of(person)
        assert (fresh["pid"], fresh["fleeting"], fresh["running"]) == (process.pid, False, 0)
        assert (fresh["engine"]["name"], fresh["turns"]["answered"]) == ("", 0)
        person.json("ask", "Is clay soil good for tomatoes?")
        found = backend_of(person)
        Draft202012Validator(TypeAdapter(StatusObject).json_schema()).validate(found)
        assert found["epoch"] == fresh["epoch"]
        assert (found["engine"]["name"], found["turns"]) == ("rehearsal", {"answered": 1, "stopped": 0, "open": 0})
        assert found["image"]["generation"] > fresh["image"]["generation"]
        assert found["services"]["sessions"]["state"] == "running"
        shown = person.run("status")
        assert shown.returncode == 0
        assert f"process {process.pid}" in shown.stdout
        assert "it stays until a4ps down" in shown.stdout
        assert "1 answered since then, 0 open, 0 commands under way" in shown.stdout
    person.json("ask", "hello")
    assert "it ends by itself when idle" in person.run("status").stdout
