"""Towards stories 7 and 9: what was asked before is found, with its source; what was asked is told back only as data."""

from __future__ import annotations

from pathlib import Path

from tests.doubles.household import Household, ollama_server


def test_what_did_i_ask_before(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with ollama_server() as url:
        person.environ["OLLAMA_HOST"] = url
        person.json("ask", "Which pump fits a rain barrel of 300 litres?")
        person.json("ask", "How do I teach a child to juggle?")
        by_time = person.json("ask", "What did I ask before?")
        by_word = person.json("ask", "Does the pump for the barrel need a filter?")
        unrelated = person.json("ask", "Why do cats purr?")
    assert [memory["id"] for memory in by_time["memories_used"]] == ["2", "1"]
    assert all(memory["source"] == "time: before" for memory in by_time["memories_used"])
    assert by_word["memories_used"][0]["id"] == "1"
    assert by_word["memories_used"][0]["source"] == "full text"
    assert 0 < by_word["memories_used"][0]["score"] <= 1
    assert "rain barrel" in by_word["memories_used"][0]["text"]
    assert unrelated["memories_used"] == []


def test_rehearsing_lists_what_was_asked(tmp_path: Path) -> None:
    person = Household(tmp_path)
    person.json("ask", "Which pump fits a rain barrel of 300 litres?")
    answer = person.json("ask", "What did I ask before?")
    assert answer["alone"]
    assert "rain barrel" in answer["answer"]
