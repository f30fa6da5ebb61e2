"""Files into memories: which files of a folder are read, how their text is had, and how it is cut into parts.

Text and Markdown are read here; a PDF by a child process (`pdf_child.py`) that can do little and lives short, since its
parser has to believe what a stranger wrote. Whatever a file says, its memories carry the taint "untrusted".
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from a4ps.errors import DocumentUnreadable, UsageError
from a4ps.memory.file_kinds import PDF_SUFFIX, SUFFIXES
from a4ps.memory.records import Document, Records

#: A larger file is hardly one that somebody wrote.
MAX_FILE_BYTES = 64_000_000

#: A part is at most so long: what one passage says, and well within what an embedder takes.
PART_CHARS = 800

#: Parts that become durable together: what a kill costs.
PARTS_AT_ONCE = 200

#: How long a PDF may take, and what its text may come to.
PDF_S, PDF_TEXT_BYTES = 120.0, 50_000_000

_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of a file: "added" anew, "replaced" an earlier version, "resumed", or "unchanged".

    `memories` are the ids of its parts, `new` how many of them came now. `forgotten` is how many parts were forgotten: of
    this version, and then they stay so, or of the one that a "replaced" file had before, and then they may be back.
    """

    path: str
    id: str
    state: str
    memories: tuple[str, ...]
    new: int
    forgotten: int = 0


def files_of(path: Path) -> list[Path]:
    """The files to read for a path, in order. Hidden ones, links and other kinds are left out of a folder.

    Raises `UsageError` for a folder with none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(each for each in _below(path) if each.suffix.lower() in SUFFIXES)
    if not found:
        endings = ", ".join(sorted(SUFFIXES))
        raise UsageError(f"{path} has no file to read ({endings})", next_step="name a file or another folder")
    return found


def take_in(records: Records, path: Path, documents: dict[str, Document]) -> Iterator[tuple[int, int] | TakenIn]:
    """Remember a file: yields (parts durable, parts in all) as it goes, and at last what became of it.

    `documents` are those of the records, and are kept up to date.
    A file that was taken in whole and has not changed is left as it is, and what was forgotten of it stays forgotten; one
    that was begun is gone on with; a changed one is taken in anew, and then the earlier parts are taken out of sight.
    Raises `DocumentUnreadable` and what `Store.commit` raises.
    """
    name = str(path.resolve())
    content = _content(path)
    digest = hashlib.sha256(content).hexdigest()
    earlier = documents.get(name)
    same = earlier is not None and earlier.sha256 == digest
    if earlier is not None and same and earlier.whole:
        there = records.parts_of(earlier)
        yield TakenIn(name, earlier.id, "unchanged", tuple(there), 0, earlier.parts - len(there))
        return
    parts = parts_of(text_of(path, content), markdown=path.suffix.lower() in (".md", ".markdown"))
    if not parts:
        raise DocumentUnreadable(f"{path} has no text in it", next_step=_no_text(path))
    resumed = earlier is not None and same and earlier.parts == len(parts)
    document = earlier if earlier is not None and resumed else records.begin_document(name, digest, len(parts))
    documents[name] = document
    memories = records.parts_of(document) if resumed else []
    had, done = len(memories), records.reached(document)
    forgotten = done - had
    while done < len(parts):
        some = parts[done : done + PARTS_AT_ONCE]
        last = done + len(some) == len(parts)
        memories += [each.id for each in records.add_parts(document, some, done + 1, last=last)]
        done += len(some)
        yield done, len(parts)
    documents[name] = replace(document, whole=True)
    if earlier is not None and not resumed:
        reached = records.reached(earlier)
        forgotten = reached - records.drop_document(earlier)
    state = "resumed" if resumed else "added" if earlier is None else "replaced"
    yield TakenIn(name, document.id, state, tuple(memories), len(memories) - had, forgotten)


def text_of(path: Path, content: bytes) -> str:
    """The words of a file. Raises `DocumentUnreadable`."""
    if path.suffix.lower() == PDF_SUFFIX or content.startswith(b"%PDF-"):
        return _pdf_text(path, content)
    encoding = next((name for bom, name in _BOMS if content.startswith(bom)), "")
    if not encoding and b"\x00" in content:
        raise DocumentUnreadable(f"{path} is no text", next_step=f"name a file of text ({', '.join(sorted(SUFFIXES))})")
    try:
        return content.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def parts_of(text: str, *, markdown: bool) -> list[str]:
    """The text in parts of at most `PART_CHARS` characters, cut between paragraphs, else sentences, else words.

    In Markdown each part begins with the headings that it stands under.
    """
    parts: list[str] = []
    headings: list[str] = []
    held = ""
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\x00", " ")):
        for block in _blocks(paragraph, markdown=markdown):
            heading = _HEADING.match(block) if markdown else None
            if heading:
                parts += _flushed(held, headings)
                held = ""
                headings = [*headings[: len(heading[1]) - 1], heading[2]]
                continue
            room = PART_CHARS - len(_prefix(headings))
            for piece in _pieces(block, room):
                if held and len(held) + 2 + len(piece) > room:
                    parts += _flushed(held, headings)
                    held = ""
                held = f"{held}\n\n{piece}" if held else piece
    return [*parts, *_flushed(held, headings)]


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            yield from _below(path)
        elif path.is_file():
            yield path


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise DocumentUnreadable(f"{path} is no file", next_step="name a file or a folder")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DocumentUnreadable(
                f"{path} has more than {MAX_FILE_BYTES // 1_000_000} MB",
                next_step="split it, or take its text out first",
            )
        return path.read_bytes()
    except OSError as error:
        raise DocumentUnreadable(f"{path} cannot be read: {error.strerror}", next_step=f"ls -l {path}") from error


def _pdf_text(path: Path, content: bytes) -> str:
    child = [sys.executable, "-P", "-m", "a4ps.memory.pdf_child"]
    environ = {"PYTHONPATH": str(Path(__file__).parents[2])}
    try:
        done = subprocess.run(child, input=content, capture_output=True, env=environ, timeout=PDF_S)
        answer = json.loads(done.stdout[: PDF_TEXT_BYTES + 1]) if done.returncode == 0 else {"bad": "it cannot be read"}
    except subprocess.TimeoutExpired:
        answer = {"bad": f"reading it takes longer than {PDF_S:.0f} s"}
    except ValueError:
        answer = {"bad": "it has too much text"}
    if "bad" in answer:
        raise DocumentUnreadable(f"{path}: {answer['bad']}", next_step="take its text out first, as with pdftotext")
    return "\n\n".join(answer["pages"])


def _no_text(path: Path) -> str:
    if path.suffix.lower() == PDF_SUFFIX:
        return "it may hold pictures of text: run a text recognition over it first, such as ocrmypdf"
    return "name a file with words in it"


def _prefix(headings: Sequence[str]) -> str:
    return " › ".join(headings)[: PART_CHARS // 4] + ": " if headings else ""


def _flushed(held: str, headings: Sequence[str]) -> list[str]:
    return [_prefix(headings) + held] if held.strip() else []


def _blocks(paragraph: str, *, markdown: bool) -> Iterator[str]:
    """A paragraph; in Markdown, its headings apart from what stands directly under them."""
    if not markdown:
        yield paragraph.strip()
        return
    held: list[str] = []
    for line in paragraph.split("\n"):
        if _HEADING.match(line):
            if held:
                yield "\n".join(held).strip()
            held = []
            yield line
        else:
            held.append(line)
    if held:
        yield "\n".join(held).strip()


def _pieces(block: str, room: int) -> Iterator[str]:
    """A block in pieces of at most `room` characters."""
    held = ""
    for sentence in _SENTENCE_END.split(block):
        for piece in _words(sentence, room):
            if held and len(held) + 1 + len(piece) > room:
                yield held
                held = ""
            held = f"{held} {piece}" if held else piece
    if held:
        yield held


def _words(sentence: str, room: int) -> Iterator[str]:
    while len(sentence) > room:
        cut = sentence.rfind(" ", 1, room)
        cut = cut if cut > 0 else room
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
