"""`a4ps memory` as a program: with full text alone, and with a real, tiny model that embeds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from a4ps.clock import SystemClock
from a4ps.governance.taint import UNTRUSTED
from a4ps.image.store import Store
from a4ps.image.turns import TurnLog
from a4ps.memory.records import Records
from a4ps.protocol.objects import OBJECTS
from tests.cli.test_image import keys_of
from tests.doubles.byte_search import found_in
from tests.doubles.household import ROOT, Household

pytestmark = pytest.mark.slow

LEASE = "# Lease\n\n## Deposit\n\nThe deposit is three monthly rents.\n\n## Keys\n\nTwo keys are handed over.\n"


@pytest.fixture
def person(tmp_path: Path) -> Household:
    return Household(tmp_path)


def test_a_text_is_remembered_and_found(person: Household) -> None:
    added = person.json("memory", "add", "The key is under the blue mat")
    TypeAdapter(OBJECTS["memory add"]).validate_python(added, strict=True)
    found = person.json("memory", "search", "Where is the key, under a mat?")
    TypeAdapter(OBJECTS["memory search"]).validate_python(found, strict=True)
    (result,) = found["results"]
    assert result == {
        "id": "m1",
        "text": "The key is under the blue mat",
        "score": 1.0,
        "source": "full text",
        "taint": ["private"],
        "vouched": False,
    }
    assert added["memories"] == ["m1"]


def test_what_has_nothing_to_do_with_it_is_not_found(person: Household) -> None:
    person.json("memory", "add", "The key is under the blue mat")
    assert person.json("memory", "search", "How long do eggs boil?")["results"] == []


def test_turns_are_found_beside_it(person: Household) -> None:
    person.json("ask", "Which pump fits a rain barrel of 300 litres?")
    person.json("memory", "add", "The rain barrel has 300 litres")
    results = person.json("memory", "search", "barrel litres")["results"]
    assert {result["id"] for result in results} == {"1", "m1"}


def test_a_folder_is_read_once_and_a_turn_uses_it_with_its_source(person: Household) -> None:
    (person.folder / "notes").mkdir()
    (person.folder / "notes" / "lease.md").write_text(LEASE)
    first = person.json("memory", "add", str(person.folder / "notes"))
    again = person.json("memory", "add", str(person.folder / "notes"))
    assert [document["state"] for document in (*first["documents"], *again["documents"])] == ["added", "unchanged"]
    asked = person.json("ask", "How many monthly rents is the deposit?")
    (used,) = asked["memories_used"]
    assert used["id"] == "d1.1"
    assert used["source"].endswith("lease.md, part 1 of 2")
    assert "three monthly rents" in used["text"]
    assert person.json("ask", "--turn", asked["turn_id"])["memories_used"][0]["text"].startswith("Lease › Deposit")


def test_what_a_turn_recalled_of_a_file_is_shown_after_the_file_has_changed(person: Household) -> None:
    file = person.folder / "lease.md"
    file.write_text(LEASE)
    person.json("memory", "add", str(file))
    asked = person.json("ask", "How many monthly rents is the deposit?")
    file.write_text(LEASE.replace("three", "four"))
    person.json("memory", "add", str(file))
    (then,) = person.json("why", asked["turn_id"])["memories"]
    assert "three monthly rents" in then["text"]
    told = person.run("why", asked["turn_id"]).stdout
    assert "  d1.1 (full text" in told
    assert "private, untrusted data" in told
    person.json("memory", "forget", "d2", "--spare-derived", "--yes")
    (gone,) = person.json("why", asked["turn_id"])["memories"]
    assert gone["text"] == ""


def test_one_bad_file_of_several_is_named_and_the_others_are_read(person: Household) -> None:
    (person.folder / "notes").mkdir()
    (person.folder / "notes" / "a.txt").write_bytes(b"\x00\x01")
    (person.folder / "notes" / "b.txt").write_text("A line of words.")
    added = person.json("memory", "add", str(person.folder / "notes"), expect=1)
    assert [Path(each["path"]).name for each in added["failed"]] == ["a.txt"]
    assert [Path(each["path"]).name for each in added["documents"]] == ["b.txt"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (("add", "missing.md"), "", "there is no file missing.md"),
        (("add", "   "), "", "nothing to remember"),
        (("add", ""), "", "nothing to remember"),
        (("add", "-"), b"caf\xe9", "no text"),
        (("add", "-"), "", "nothing to remember"),
        (("add", "-"), "a\x00b", "no text"),
        (("add", "x" * 20_001), "", "at most"),
        (("pin", "m1"), "", "there is no memory m1"),
        (("pin", "\udcff"), "", "there is no memory '\\udcff'"),
        (("vouch", "\udcff"), "", "there is no memory '\\udcff'"),
        (("export",), "", "needs a FILE"),
    ],
)
def test_mistakes_are_told_with_a_next_step(
    arguments: tuple[str, ...], stdin: str | bytes, says: str, person: Household
) -> None:
    error = person.json("memory", *arguments, stdin=stdin, expect=1 if arguments[0] in ("pin", "vouch") else 2)["error"]
    assert says in error["message"]
    assert error["next"]


def test_bytes_that_are_no_text_name_nothing_that_could_be_forgotten(person: Household) -> None:
    person.json("memory", "add", "The key is under the blue mat")
    error = person.json("memory", "forget", "\udcff", "--yes", expect=1)["error"]
    assert "no memory '\\udcff'" in error["message"]


def test_standard_input_is_a_text_and_may_be_anybodys(person: Household) -> None:
    person.json("memory", "add", "-", stdin="notes.md is the name of a file\n")
    person.json("memory", "add", "The name of the dog is Rex")
    assert person.json("memory", "search", "file name")["results"][0]["text"] == "notes.md is the name of a file"
    person.end_backends()
    with Store.open(person.home / "image.a4ps", keys_of(person), SystemClock()) as store:
        piped, typed = (Records(store, TurnLog(store)).get(id_).taint for id_ in ("m1", "m2"))
    assert UNTRUSTED in piped
    assert UNTRUSTED not in typed


def test_a_pin_is_put_on_and_taken_off(person: Household) -> None:
    person.json("memory", "add", "The key is under the blue mat")
    assert person.json("memory", "pin", "m1") == {"id": "m1", "importance": 1.0}
    assert person.json("memory", "pin", "m1", "--off") == {"id": "m1", "importance": 0.6}


def test_an_export_has_all_of_it_and_never_overwrites(person: Household) -> None:
    person.json("ask", "Which pump fits?")
    person.json("memory", "add", "The key is under the blue mat")
    file = person.folder / "out.jsonl"
    assert person.json("memory", "export", str(file)) == {"file": str(file), "memories": 2}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["id"], line["kind"]) for line in lines] == [("1", "turn"), ("m1", "note")]
    assert "there already" in person.json("memory", "export", str(file), expect=2)["error"]["message"]
    assert [json.loads(line) for line in person.run("memory", "export").stdout.splitlines()] == lines


def test_a_night_merges_and_is_undone(person: Household) -> None:
    for _ in range(2):
        person.json("memory", "add", "The key is under the blue mat")
    night = person.json("memory", "sleep")
    TypeAdapter(OBJECTS["memory sleep"]).validate_python(night, strict=True)
    assert night == {"night": "1", "undone": False, "merged": {"m2": "m1"}, "facts": []}
    assert [result["id"] for result in person.json("memory", "search", "key mat")["results"]] == ["m1"]
    assert person.json("memory", "sleep", "--undo")["undone"]
    assert len(person.json("memory", "search", "key mat")["results"]) == 2
    assert person.json("memory", "sleep")["night"] == ""


def test_without_an_embedder_full_text_serves_alone_and_doctor_says_so(person: Household) -> None:
    person.json("memory", "add", "The key is under the blue mat")
    rebuilt = person.json("memory", "rebuild")
    TypeAdapter(OBJECTS["memory rebuild"]).validate_python(rebuilt, strict=True)
    assert (rebuilt["memories"], rebuilt["vectors"], rebuilt["method"]) == (1, 0, "none")
    assert not (person.home / "cache" / "scrapbook").exists()
    checks = {check["name"]: check for check in person.json("doctor")["checks"]}
    assert checks["recall"]["verdict"] == "note"
    assert "models pull" in checks["recall"]["mend"]


class TestWithAModelThatEmbeds:
    @pytest.fixture
    def person(self, tmp_path: Path) -> Household:
        person = Household(tmp_path, {"A4PS_EMBEDDER": "tiny"})
        (person.home / "models").mkdir(parents=True)
        shutil.copy(ROOT / "tests" / "data" / "models" / "tiny.gguf", person.home / "models")
        return person

    def test_what_is_added_is_embedded_and_a_zeroed_manifest_costs_only_time(self, person: Household) -> None:
        person.json("memory", "add", "The key is under the blue mat")
        person.end_backends()
        manifests = list((person.home / "cache" / "scrapbook").rglob("*.manifest"))
        assert manifests
        for manifest in manifests:
            manifest.write_bytes(bytes(manifest.stat().st_size))
        assert self.source_once_the_model_is_loaded(person) == "full text + vectors"
        assert len(list((person.home / "cache" / "scrapbook" / "quarantine").iterdir())) == 1
        rebuilt = person.json("memory", "rebuild")
        assert (rebuilt["vectors"], rebuilt["method"], rebuilt["embedder"].partition("@")[0]) == (1, "flat", "tiny")

    @staticmethod
    def source_once_the_model_is_loaded(person: Household) -> str:
        """How it is found; a search waits a moment for the model that embeds its question, and then does without."""
        for _ in range(30):
            (found,) = person.json("memory", "search", "The key is under the blue mat")["results"]
            if "vectors" in found["source"]:
                break
        return str(found["source"])

    def test_an_embedder_that_is_not_there_is_said_and_full_text_serves(self, person: Household) -> None:
        person.environ["A4PS_EMBEDDER"] = "missing"
        done = person.run("memory", "add", "The key is under the blue mat")
        assert done.returncode == 0
        assert "There are no vectors" in done.stderr
        assert person.json("memory", "search", "key mat blue")["results"][0]["source"] == "full text"
        assert "missing" in person.json("memory", "rebuild")["fault"]


def test_the_architect_vouches_for_a_document_and_takes_it_back(person: Household) -> None:
    """From then on what is recalled of it is no longer untrusted; what an earlier turn was made from stays on record."""
    (person.folder / "lease.md").write_text(LEASE)
    person.json("memory", "add", str(person.folder / "lease.md"))
    before = person.json("ask", "How many monthly rents is the deposit?")
    done = person.json("memory", "vouch", "d1")
    TypeAdapter(OBJECTS["memory vouch"]).validate_python(done, strict=True)
    assert done == {"vouched": True, "ids": ["d1"]}
    (result,) = [
        each for each in person.json("memory", "search", "monthly rents deposit")["results"] if each["id"] == "d1.1"
    ]
    assert (result["taint"], result["vouched"]) == (["private"], True)
    assert "untrusted" in person.json("why", before["turn_id"])["taint"]
    told = person.run("memory", "vouch", "d1", "--off").stdout
    assert told.startswith("d1 is untrusted again: ")
    error = person.json("memory", "vouch", "d1", "--off", expect=2)["error"]
    assert "nobody vouched" in error["message"]


def test_a_later_turn_is_made_of_what_was_vouched_for(person: Household) -> None:
    (person.folder / "lease.md").write_text(LEASE)
    person.json("memory", "add", str(person.folder / "lease.md"))
    person.json("memory", "vouch", "d1")
    asked = person.json("ask", "How many monthly rents is the deposit?")
    assert asked["taint"] == ["private"]
    (used,) = person.json("why", asked["turn_id"])["memories"]
    assert used["source"].endswith("vouched for")


def test_what_was_forgotten_of_a_file_stays_forgotten_and_that_is_said(person: Household) -> None:
    file = person.folder / "lease.md"
    file.write_text(LEASE)
    person.json("memory", "add", str(file))
    person.json("memory", "forget", "d1.1", "--yes")
    (document,) = person.json("memory", "add", str(file))["documents"]
    assert (document["state"], document["parts"], document["forgotten"]) == ("unchanged", 1, 1)
    assert person.json("memory", "search", "monthly rents deposit")["results"] == []
    assert "1 part of it had been forgotten" in person.run("memory", "add", str(file)).stdout
    file.write_text(LEASE.replace("Two", "Three"))
    told = person.run("memory", "add", str(file)).stdout
    assert "1 part of what it was had been forgotten" in told
    assert person.json("memory", "search", "monthly rents deposit")["results"]


def test_words_of_scripts_without_spaces_are_found_and_forgotten(person: Household) -> None:
    """No byte of them is left in the index either, in pairs or whole."""
    person.json("memory", "add", "昨日、東京タワーの高さを調べた。三百三十三メートル")
    person.json("memory", "add", "ผมชอบกรุงเทพมหานครมาก")
    for question, id_ in (("東京", "m1"), ("東京タワーはどこですか", "m1"), ("กรุงเทพ", "m2")):
        assert [each["id"] for each in person.json("memory", "search", question)["results"]] == [id_], question
    assert person.json("memory", "search", "大阪城はどこですか")["results"] == []
    person.json("memory", "forget", "--text", "東京タワー", "--yes")
    person.json("memory", "forget", "m2", "--yes")
    for left in ("東京", "京タ", "タワ", "กรุง", "กร", "นค"):
        assert found_in(person.folder, left) == []
    assert person.json("memory", "rebuild")["memories"] == 0
