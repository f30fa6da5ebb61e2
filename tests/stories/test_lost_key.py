"""The key folder is gone and there is no backup of it: what was said, and who the four are, comes to a new home."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from a4ps.errors import MethodRefused
from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from tests.doubles.household import Household, ollama_server

GREET = "def greet(self, guest):\n    return f'{self.state[\"mood\"]}, {guest}'\n"


def opened(person: Household) -> ProtoManager:
    person.json("down")
    keys = KeyFolder(person.folder / ".local" / "state" / "a4ps" / "keys")
    return ProtoManager.open(person.home / "image.a4ps", keys=keys)


def test_a_lost_key(tmp_path: Path) -> None:
    before, after = Household(tmp_path / "before"), Household(tmp_path / "after")
    for person in (before, after):
        person.folder.mkdir()
    with ollama_server() as url:
        before.environ["OLLAMA_HOST"] = after.environ["OLLAMA_HOST"] = url
        before.json("ask", "Which pump fits a rain barrel of 300 litres?")
        before.json("ask", "How do I teach a child to juggle?")
        with opened(before) as image:
            with image.transaction(reason="manners") as tx:
                tx.edit("BRICK").state["mood"] = "Good day"
            image.get_proto("BRICK").define("greet", GREET)
            codices = {name: image.get_proto(name).codex for name in image.names()}
        shutil.rmtree(before.folder / ".local" / "state")

        value = after.json("image", "import", "--salvage", str(before.home / "image.a4ps"))
        assert value["salvaged"]["turns"] == 2
        assert value["salvaged"]["rows_skipped"] == 0
        by_word = after.json("ask", "Does the pump for the barrel need a filter?")
        by_time = after.json("ask", "What did I ask before?")

    assert by_word["turn_id"] == "3"
    assert (by_word["memories_used"][0]["id"], by_word["memories_used"][0]["source"]) == ("1", "full text")
    assert [memory["id"] for memory in by_time["memories_used"]] == ["3", "2", "1"]
    with opened(after) as image:
        assert {name: image.get_proto(name).codex for name in image.names()} == codices
        brick = image.get_proto("BRICK")
        with pytest.raises(MethodRefused):
            brick.greet("ROBIN")
        brick.define("greet", brick.greet.source)
        assert brick.greet("ROBIN") == "Good day, ROBIN"
        assert image.history("BRICK")[-1].author == "architect"
