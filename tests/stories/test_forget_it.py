"""Story 8: I told it something private. `forget`: no search of the folder finds it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.doubles.byte_search import found_in
from tests.doubles.household import Household, at_terminal, ollama_server

SECRET = "Rumpelstilz-7734"
PRIVATE = f"The PIN of my bank card is {SECRET}, where do I write it down safely?"

NOTE = f"""
from a4ps import ProtoManager
with ProtoManager() as manager:
    with manager.transaction(reason="what the Architect told", evidence={{"turn": 2}}) as tx:
        tx.edit("ALFRED").state["facts"] = ["likes tea", "bank card: {SECRET}"]
"""


def test_i_told_it_something_private(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with ollama_server() as url:
        person.environ["OLLAMA_HOST"] = url
        harmless = person.json("ask", "Which pump fits a rain barrel of 300 litres?")
        with at_terminal(person, "chat") as (terminal, chat):
            terminal.wait_for("❯")
            terminal.type(f"{PRIVATE}\r")
            terminal.wait_for("s in the model")
            terminal.wait_for("❯")
            terminal.type("\x04")
            assert chat.wait(30) == 0
        later = person.json("ask", "Is the PIN of my bank card written down safely?")
        assert [memory["id"] for memory in later["memories_used"]] == ["2"]
        person.run("down")  # a program of one's own has the image to itself
        noted = subprocess.run([sys.executable, "-c", NOTE], capture_output=True, check=False, env=person.env)
        assert noted.returncode == 0, noted.stderr
        person.json("image", "save", str(tmp_path / "saved"))
        person.json("image", "load", str(tmp_path / "saved"))
        (tmp_path / "saved").unlink()
        everywhere = found_in(tmp_path, SECRET)
        assert {name.rpartition("/")[2] for name in everywhere} >= {"image.a4ps", "chat_history"}

        plan = person.run("memory", "forget", "2", "--dry-run")
        assert plan.returncode == 0
        for place in ("turn 2: the question", "turn 3", "rests on turn 2", "chat history", "earlier images"):
            assert place in plan.stdout, place
        assert found_in(tmp_path, SECRET) == everywhere

        plan = person.run("memory", "forget", "--text", SECRET.lower(), "--dry-run")
        for place in ("turn 2", 'ALFRED.state["facts"]', "chat history"):
            assert place in plan.stdout, place

        done = person.json("memory", "forget", "--text", SECRET.lower(), "--yes")
        assert done["forgotten"]
        assert found_in(tmp_path, SECRET) == []
        assert found_in(tmp_path, "Rumpelstilz") == []

        assert person.json("image", "verify", "--deep")["ok"]
        assert person.json("ask", "--turn", "2", expect=1)["error"]["kind"] == "forgotten"
        assert person.json("ask", "--turn", harmless["turn_id"]) == harmless
        again = person.json("ask", "What is the PIN of my bank card?")
        assert again["memories_used"] == []
        assert int(again["turn_id"]) > int(later["turn_id"])
        noted_at = next(
            change["change"]
            for change in person.json("image", "history", "ALFRED")["changes"]
            if change["reason"] == "what the Architect told"
        )
        assert "⟦forgotten⟧" in person.run("image", "diff", str(noted_at)).stdout
        assert "likes tea" in person.run("image", "diff", str(noted_at)).stdout
