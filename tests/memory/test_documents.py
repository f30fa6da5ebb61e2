"""Documents: what is read of a file, how it is cut, and what a repeated or interrupted reading leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import DocumentUnreadable, UsageError
from a4ps.image.rows import Row
from a4ps.image.store import Store
from a4ps.memory import documents
from a4ps.memory.documents import PART_CHARS, TakenIn, files_of, parts_of, take_in, text_of
from a4ps.memory.records import Records
from tests.memory.books import book_of
from tests.memory.pdf import pdf


@pytest.fixture
def records(store: Store) -> Records:
    return book_of(store)


def taken(records: Records, path: Path) -> TakenIn:
    *_, last = take_in(records, path, records.documents())
    assert isinstance(last, TakenIn)
    return last


def texts(records: Records, document: TakenIn) -> list[str]:
    return [records.get(id_).text for id_ in document.memories]


class TestParts:
    def test_a_part_in_markdown_begins_with_its_headings(self) -> None:
        text = "# Lease\n\nPreamble.\n\n## Deposit\nThree rents.\n\n## Keys\n\nTwo keys.\n\n# Annex\n\nNone."
        assert parts_of(text, markdown=True) == [
            "Lease: Preamble.",
            "Lease › Deposit: Three rents.",
            "Lease › Keys: Two keys.",
            "Annex: None.",
        ]

    def test_elsewhere_a_hash_is_a_hash(self) -> None:
        assert parts_of("# one\n\ntwo", markdown=False) == ["# one\n\ntwo"]

    def test_a_long_paragraph_is_cut_at_a_sentence(self) -> None:
        sentence = "This is one sentence of some length."
        parts = parts_of(" ".join([sentence] * 60), markdown=False)
        assert len(parts) > 1
        assert all(part.endswith(".") and part.startswith("This") for part in parts)

    @given(st.text(st.sampled_from("ab#.? \n\u2003ä"), max_size=6_000), st.booleans())
    def test_no_part_is_too_long_or_empty_and_no_word_is_lost(self, text: str, markdown: bool) -> None:
        parts = parts_of(text, markdown=markdown)
        assert all(len(part.strip()) > 0 and len(part) <= PART_CHARS for part in parts)
        if not markdown:
            assert "".join("".join(parts).split()) == "".join(text.split())


class TestReading:
    @pytest.mark.parametrize(
        "content",
        ["Größe".encode(), "Größe".encode("utf-16"), "Größe".encode("utf-8-sig"), "Größe".encode("cp1252")],
        ids=["utf-8", "utf-16", "with a mark", "an old one"],
    )
    def test_encodings(self, content: bytes, tmp_path: Path) -> None:
        assert text_of(tmp_path / "x.txt", content) == "Größe"

    def test_a_pdf_gives_its_words_page_by_page(self, records: Records, tmp_path: Path) -> None:
        path = tmp_path / "lease.pdf"
        path.write_bytes(pdf("The deposit is three rents.", "Two keys are handed over."))
        document = taken(records, path)
        assert texts(records, document) == ["The deposit is three rents.\n\nTwo keys are handed over."]
        assert records.get(document.memories[0]).taint == {"private", "untrusted"}

    @pytest.mark.parametrize(
        ("name", "content", "why"),
        [
            ("x.txt", b"\x7fELF\x00\x01", "no text"),
            ("x.pdf", b"%PDF-1.4 nonsense", "no PDF"),
            ("x.pdf", pdf(""), "no text in it"),
            ("x.txt", b"  \n\n ", "no text in it"),
            ("x.txt", None, "no file"),
        ],
    )
    def test_what_has_no_text_is_refused_with_a_next_step(
        self, name: str, content: bytes | None, why: str, records: Records, tmp_path: Path
    ) -> None:
        path = tmp_path / name
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
        with pytest.raises(DocumentUnreadable, match=why) as refused:
            taken(records, path)
        assert refused.value.next_step
        assert records.documents() == {}

    def test_a_huge_one_is_refused_unread(
        self, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(documents, "MAX_FILE_BYTES", 10)
        path = tmp_path / "x.txt"
        path.write_text("eleven bytes")
        with pytest.raises(DocumentUnreadable, match="more than"):
            taken(records, path)

    def test_a_folder_gives_its_files_in_order_without_what_is_hidden_or_linked(self, tmp_path: Path) -> None:
        for name in ("b.md", "a/x.TXT", "a/y.pdf", ".secret/z.md", ".z.md", "c.exe"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("x")
        (tmp_path / "link.md").symlink_to(tmp_path / "b.md")
        (tmp_path / "loop").symlink_to(tmp_path)
        (tmp_path / "none").mkdir()
        assert [str(path.relative_to(tmp_path)) for path in files_of(tmp_path)] == ["a/x.TXT", "a/y.pdf", "b.md"]
        with pytest.raises(UsageError):
            files_of(tmp_path / "none")


class TestAgain:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "long.txt"
        path.write_text("\n\n".join(f"Paragraph {number}. " + "word " * 100 for number in range(12)))
        return path

    def test_an_unchanged_file_is_left_as_it_is(self, records: Records, path: Path) -> None:
        first = taken(records, path)
        generation = records.store.generation
        again = taken(records, path)
        assert (again.state, again.memories, again.new) == ("unchanged", first.memories, 0)
        assert records.store.generation == generation

    def test_a_changed_one_takes_the_place_of_what_it_was(self, records: Records, path: Path) -> None:
        first = taken(records, path)
        path.write_text("Nothing but this.")
        second = taken(records, path)
        assert (first.state, second.state, second.new) == ("added", "replaced", 1)
        assert [records.find(id_) for id_ in first.memories] == [None] * len(first.memories)
        assert texts(records, second) == ["Nothing but this."]
        assert [document.id for document in records.documents().values()] == [second.id]

    @pytest.mark.parametrize("steps", [1, 2, 5])
    def test_interrupted_it_goes_on_where_it_was(
        self, steps: int, records: Records, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(documents, "PARTS_AT_ONCE", 2)
        reading = take_in(records, path, records.documents())
        for _ in range(steps):
            next(reading)
        del reading  # as a kill would
        document = taken(records, path)
        assert document.state == "resumed"
        assert document.new == len(document.memories) - 2 * steps
        assert list(document.memories) == [f"d1.{number}" for number in range(1, len(document.memories) + 1)]
        whole = parts_of(path.read_text(), markdown=False)
        assert texts(records, document) == whole

    def test_interrupted_and_changed_it_begins_anew(
        self, records: Records, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(documents, "PARTS_AT_ONCE", 2)
        next(take_in(records, path, records.documents()))
        path.write_text("Nothing but this.")
        document = taken(records, path)
        assert texts(records, document) == ["Nothing but this."]
        assert [memory.id for memory in records.walk()] == list(document.memories)

    def test_what_was_forgotten_stays_so_also_where_the_reading_goes_on(
        self, records: Records, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A part that was forgotten keeps its number, so the others keep theirs."""
        monkeypatch.setattr(documents, "PARTS_AT_ONCE", 2)
        path.write_text("\n\n".join(f"Part {number} " + "x" * 700 for number in range(1, 6)))
        steps = take_in(records, path, records.documents())
        assert next(steps) == (2, 5)
        del steps  # as a kill would
        gone = [Row("memory-gone", "d1.2", b""), Row("forgotten", "memory d1.2", b"")]
        records.store.commit(gone, author="architect", reason="forgotten")
        done = taken(records, path)
        assert (done.state, done.memories, done.new, done.forgotten) == (
            "resumed",
            ("d1.1", "d1.3", "d1.4", "d1.5"),
            3,
            1,
        )
        assert texts(records, done)[1].startswith("Part 3")
        again = taken(records, path)
        assert (again.state, again.forgotten) == ("unchanged", 1)
