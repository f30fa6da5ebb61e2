"""Story 13, a new machine: one file and a key are copied, and the four go on from what was said yesterday."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.doubles.household import Household, ollama_server

KEYS = Path(".local") / "state" / "a4ps" / "keys"


def test_a_new_machine(tmp_path: Path) -> None:
    old, new = Household(tmp_path / "old"), Household(tmp_path / "new")
    for person in (old, new):
        person.folder.mkdir()
    with ollama_server() as url:
        old.environ["OLLAMA_HOST"] = new.environ["OLLAMA_HOST"] = url
        asked = old.json("ask", "Which pump fits a rain barrel of 300 litres?")
        old.run("console", stdin="brick.mood = 'stern'\n")
        old.run("down")
        made = old.run("image", "backup", str(tmp_path / "backup.a4ps"))
        assert made.returncode == 0, made.stderr
        assert str(old.folder / KEYS) in made.stdout + made.stderr  # it says which key belongs to it
        shutil.copytree(old.folder / KEYS, new.folder / KEYS)
        shutil.copy(tmp_path / "backup.a4ps", new.folder)
        shutil.rmtree(old.folder)

        restored = new.run("image", "restore", str(new.folder / "backup.a4ps"), "--yes")
        assert restored.returncode == 0, restored.stderr
        greeted = new.json("ask", "What did I ask before?")
        assert [memory["id"] for memory in greeted["memories_used"]] == ["1"]
        assert "rain barrel" in greeted["memories_used"][0]["text"]
        assert new.json("ask", "--turn", "1") == asked
        assert new.run("console", stdin="brick.mood\n").stdout == "'stern'\n"
        new.run("down")
        assert new.json("image", "verify", "--deep")["ok"]
        exported = new.run("image", "export", str(tmp_path / "export"))
        assert exported.returncode == 0, exported.stderr
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "export").rglob("*") if path.is_file()]
    assert any("Which pump fits a rain barrel of 300 litres?" in text for text in texts)
    assert any('"mood": "stern"' in text for text in texts)
