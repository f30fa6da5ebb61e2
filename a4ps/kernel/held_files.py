"""Files beside the image in which a person's words can be: what was typed, what was logged, what was left over; and the
rest of the home, which is looked through and named."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from a4ps.errors import StorageFailed
from a4ps.holders import HolderOfText, TextPlace
from a4ps.image.drafts import PREFIX, draft_of, sweep
from a4ps.image.kept_images import image_holds
from a4ps.image.keys import fsync_folder
from a4ps.image.salvage import WORKPLACE
from a4ps.log_file import locked
from a4ps.places import Places
from a4ps.sought import Sought

_ALL_COMMAND = "/all "
_SQLITE = b"SQLite format 3\x00"
_PORTABLE = b"A4PSport"
_PIECE_BYTES = 1 << 20


class TypedHistory:
    """A HolderOfText over what was typed at a prompt: entries of lines that begin with "+", each after its time."""

    def __init__(self, file: Path, name: str = "chat history") -> None:
        self._file = file
        self.name = name

    def holds_file(self, path: Path) -> bool:
        return path == self._file

    def find(self, sought: Sought) -> list[TextPlace]:
        count = sum(_was_typed(entry, sought) for entry in _entries(self._text()))
        return [TextPlace(self.name, _counted(count, "line that was typed", "lines that were typed"), "holds")][
            : min(count, 1)
        ]

    def remove(self, sought: Sought) -> None:
        text = self._text()
        left = "".join(entry for entry in _entries(text) if not _was_typed(entry, sought))
        if left == text:
            return
        try:
            with draft_of(self._file) as draft:
                with os.fdopen(
                    os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
                ) as file:
                    file.write(left.encode("utf-8", "surrogateescape"))
                    file.flush()
                    os.fsync(file.fileno())
                draft.rename(self._file)
            fsync_folder(self._file.parent)
        except OSError as error:
            raise _cannot(self._file, "be written", error) from error

    def _text(self) -> str:
        return _read(self._file).decode("utf-8", "surrogateescape")


class LogTexts:
    """A HolderOfText over the log and its rotated files. They are written in place, as others log to one of them."""

    name = "log"

    def __init__(self, log: Path) -> None:
        self._log = log

    def holds_file(self, path: Path) -> bool:
        return path in self._files()

    def find(self, sought: Sought) -> list[TextPlace]:
        return [TextPlace(self.name, path.name, "holds") for path in self._files() if _is_to_bar(path, sought)]

    def remove(self, sought: Sought) -> None:
        with _unrotated(self._log):
            for path in self._files():
                _bar(path, sought)

    def _files(self) -> list[Path]:
        return sorted(path for path in self._log.parent.glob(f"{self._log.name}*") if path.is_file())


class CrashTexts:
    """A HolderOfText over the crash reports: what an exception said may be somebody's words. Barred as the log is."""

    name = "crash reports"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def holds_file(self, path: Path) -> bool:
        return path == self._folder or self._folder in path.parents

    def find(self, sought: Sought) -> list[TextPlace]:
        return [TextPlace(self.name, path.name, "holds") for path in self._files() if _is_to_bar(path, sought)]

    def remove(self, sought: Sought) -> None:
        for path in self._files():
            _bar(path, sought)

    def _files(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*") if path.is_file())


class Leftovers:
    """A HolderOfText over what killed writers have left: drafts, and copies that were to be salvaged."""

    name = "left over"

    def __init__(self, home: Path) -> None:
        self._home = home

    def holds_file(self, path: Path) -> bool:
        return any(folder in path.parents for folder in self._folders())

    def find(self, sought: Sought) -> list[TextPlace]:  # noqa: ARG002 - they are nobody's, whatever they hold
        return [TextPlace(self.name, folder.name, "holds") for folder in self._folders()]

    def remove(self, sought: Sought) -> None:  # noqa: ARG002
        sweep(self._home)
        for folder in self._home.glob(f"{WORKPLACE}*"):
            # Its writer held the lock that the open image has now.
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return sorted((*self._home.glob(f"{PREFIX}*"), *self._home.glob(f"{WORKPLACE}*")))


class OtherFiles:
    """A HolderOfText that only names: files in the home that no other holder answers for, as a person put them there.

    Model files are not looked into.
    """

    name = "other files"

    def __init__(self, places: Places, holders: Callable[[], Iterable[HolderOfText]]) -> None:
        self._places = places
        self._holders = holders

    def holds_file(self, path: Path) -> bool:  # noqa: ARG002 - it answers for nothing
        return False

    def find(self, sought: Sought) -> list[TextPlace]:
        places = [
            TextPlace(self.name, str(path), "named", _next_step(path)) for path in self._files() if _held(path, sought)
        ]
        elsewhere = "backups, saved files and exports outside the home are not looked into"
        step = "remove those that are older than this, and make new ones: a4ps image backup FILE"
        return [*places, TextPlace(self.name, elsewhere, "named", step)]

    def remove(self, sought: Sought) -> None:
        """Nothing: what a person made is theirs to remove."""

    def _files(self) -> Iterator[Path]:
        holders = [holder for holder in self._holders() if holder is not self]
        for path in sorted(self._places.home.rglob("*")):
            if not path.is_file() or path.is_symlink() or self._places.models in path.parents:
                continue
            if not any(holder.holds_file(path) for holder in holders):
                yield path


def _entries(text: str) -> list[str]:
    """The pieces that a history consists of, each from its empty line on; what is no entry is a piece as well."""
    entries: list[str] = []
    typed = False
    for line in text.splitlines(keepends=True):
        if not entries or not line.strip() or (typed and not line.startswith("+")):
            entries.append("")
        entries[-1] += line
        typed = line.startswith("+")
    return entries


def _was_typed(entry: str, sought: Sought) -> bool:
    typed = "\n".join(line[1:] for line in entry.splitlines() if line.startswith("+"))
    return sought.is_entry(typed) or sought.is_entry(typed.removeprefix(_ALL_COMMAND)) or sought.in_text(entry)


@contextmanager
def _unrotated(log: Path) -> Iterator[None]:
    """Nobody moves the log and its older files for the block: whoever does holds the log's lock."""
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # none, or one that reading it will tell of
        yield
        return
    try:
        with locked(descriptor):
            yield
    finally:
        os.close(descriptor)


def _is_to_bar(path: Path, sought: Sought) -> bool:
    text = _read(path).decode("utf-8", "surrogateescape")
    return _barred(text, sought) != text


def _bar(path: Path, sought: Sought) -> None:
    text = _read(path).decode("utf-8", "surrogateescape")
    left = _barred(text, sought)
    if left == text:
        return
    try:
        with path.open("r+b") as file:
            file.write(left.encode("utf-8", "surrogateescape"))
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _cannot(path, "be written", error) from error


def _barred(text: str, sought: Sought) -> str:
    """`text` with bars for the words. In a line that is a JSON object in its values only, whose words JSON spells otherwise
    than they were said.
    """
    pieces: list[str] = []
    for is_object, lines in groupby(io.StringIO(text, newline="\n"), key=_is_object):
        if is_object:
            pieces += [_barred_object(line, sought) for line in lines]
        else:
            pieces.append(sought.barred("".join(lines)))
    return "".join(pieces)


def _is_object(line: str) -> bool:
    return line.startswith("{") and _object_in(line) is not None


def _object_in(line: str) -> dict[str, object] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _barred_object(line: str, sought: Sought) -> str:
    fields = _object_in(line) or {}
    left = {name: sought.barred_value(value) for name, value in fields.items()}
    if left == fields:
        return line
    return json.dumps(left, ensure_ascii=False).encode("utf-8", "backslashreplace").decode() + "\n"


def _held(path: Path, sought: Sought) -> bool:
    with path.open("rb") as file:
        head = file.read(len(_SQLITE))
    if head == _SQLITE and (held := image_holds(path, sought)) is not None:
        return held
    return any(map(sought.in_bytes, _pieces(path, sought)))


def _pieces(path: Path, sought: Sought) -> Iterator[bytes]:
    """Piece by piece, each with the end of the one before it, as words may lie across."""
    overlap = 16 * max((len(text) for text in (*sought.texts, "")), default=0)
    before = b""
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield before + piece
                before = (before + piece)[-overlap:] if overlap else b""
    except OSError as error:
        raise _cannot(path, "be read", error) from error


def _next_step(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(len(_SQLITE))
    if head == _SQLITE:
        return f"rm {path}; and for a new one: a4ps image backup FILE"
    if head.startswith(_PORTABLE):
        return f"a4ps image save {path} writes it anew"
    export = next((folder for folder in path.parents if (folder / "image.toml").is_file()), None)
    return f"a4ps image export {export} writes it anew" if export else f"rm {path}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise _cannot(path, "be read", error) from error


def _cannot(path: Path, what: str, error: OSError) -> StorageFailed:
    return StorageFailed(f"{path} cannot {what}: {error.strerror}", next_step="check its permissions and its disk")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
