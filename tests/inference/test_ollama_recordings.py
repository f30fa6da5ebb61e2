"""The table of the recordings is true: it names each, and the test that it names reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.doubles.recordings import FOLDER

ROWS = re.findall(
    r"^\| (\d\d\w?) \| [^|]+ \| `?([\w.-]+)`? \| ([^|]*) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE
)


def test_each_recording_is_in_the_table() -> None:
    kept = {path.stem.partition("_")[0] for path in FOLDER.glob("*.json")}
    assert kept == {number for number, test, _ in ROWS if test != "-"}
    assert len(list(FOLDER.glob("*.json"))) == 60
    assert len(ROWS) == len(set(ROWS)) == 58, "61 recordings, of which four share a number"


@pytest.mark.parametrize(("number", "test", "left_out"), ROWS, ids=[row[0] for row in ROWS])
def test_a_recording_is_read_by_the_test_that_is_named(number: str, test: str, left_out: str) -> None:
    if test == "-":
        assert left_out
        return
    source = (Path(__file__).parent / test).read_text(encoding="utf-8")
    assert re.search(rf'"{number}["_]', source)


def test_no_recording_names_a_host_or_a_folder_of_the_machine_it_was_made_on() -> None:
    told = re.compile(r"ollama\.(ai|com)|/(work|root|home|tmp)/|<(DNS|MODELS)>")
    assert [path.name for path in FOLDER.iterdir() if told.search(path.read_text(encoding="utf-8"))] == []
