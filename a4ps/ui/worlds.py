"""Worlds by name, each a script in one folder: saved whole or not at all, and never lost for being damaged.

Others write there as well: another window, and the backend, which takes out of the scripts what is to be forgotten. So each
writes with the folder's lock, and a world that somebody else has written since it was read is not written over.

For: the files. Not for: what is in them (`a4ps.ui.model.script`), or when to save.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from a4ps.errors import A4PSError, CallerError, Conflict, DiskFull, StorageFailed, Unsupported
from a4ps.log_file import locked
from a4ps.places import WORLDS_LOCK
from a4ps.ui.model.arrangement import fitted, new_world
from a4ps.ui.model.morph import World
from a4ps.ui.model.pane import Notice
from a4ps.ui.model.script import MOST_BYTES, read, written

#: The world that there is at first.
FIRST = "home"
#: The file that names the world that was last shown. It has no name that a world could have.
_LAST = ".last"
_LONGEST = 60


#: What another content of a file differs in: its number, time and size.
_Mark: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A world that was asked for. `found`: it was there. `notices`: what the user has to know of it."""

    world: World
    found: bool
    notices: Sequence[Notice] = ()


def checked(name: str) -> str:
    """The name without spaces around it. Raises CallerError where no world can be called so."""
    name = name.strip()
    good = all(each.isalnum() or each in " -_." for each in name) and not name.startswith((".", "-"))
    if not name or not good or len(name) > _LONGEST or len(name.encode()) > 200 or name.endswith("."):
        raise CallerError(
            f"no world can be called {name[:80]!r}",
            next_step=f"use letters, digits, spaces, - and _, at most {_LONGEST}, and begin with a letter or digit",
        )
    return name


class Worlds:
    """The worlds of one folder, which is made when the first is saved.

    Every method raises StorageFailed, or DiskFull, where the disk refuses; a file is then as it was.
    """

    def __init__(self, folder: Path, panes: Collection[str] | None = None, *, writes: bool = True) -> None:
        """`panes` are the kinds of windows that there are; None: every one. Without `writes` the folder stays as it is, as
        for a picture: what would be saved is not.
        """
        self.folder = folder
        self._panes = panes
        self._writes = writes
        #: World → its file as it was read or written last, None where there was none.
        self._seen: dict[str, _Mark | None] = {}

    def names(self) -> Sequence[str]:
        """All worlds there are, by name."""
        try:
            found = [each.stem for each in self.folder.iterdir() if each.suffix == ".json" and each.is_file()]
        except FileNotFoundError:
            return ()
        except OSError as fault:
            raise self._refused("read", fault) from fault
        return sorted(filter(_can_be, found), key=str.casefold)

    def last(self) -> str:
        """The world that was shown last, the first one where it is not known."""
        try:
            with (self.folder / _LAST).open(encoding="utf-8") as file:
                name = file.read(1000).strip()
        except (OSError, UnicodeDecodeError):
            return FIRST
        return name if _can_be(name) else FIRST

    def load(self, name: str, width: float, height: float) -> Loaded:
        """The world of that name, fitted into a window of that size, and remembered as the last.

        Where there is none, it begins as the first one does. So it does where the file is no script: that is set aside
        under another name, which the notice tells. Raises CallerError for a name that cannot be, and what `script.read`
        raises where nothing is written.
        """
        name = checked(name)
        path = self._path(name)
        self._seen[name] = _mark(path)
        # A disk that is read-only or full is told when the world is saved.
        if self._writes:
            with contextlib.suppress(A4PSError):
                self._write(self.folder / _LAST, name + "\n")
        try:
            data = _content(path)
        except FileNotFoundError:
            return Loaded(new_world(width, height), found=False)
        except OSError as fault:
            raise self._refused("read", fault) from fault
        try:
            found = read(data, self._panes)
        except (CallerError, Unsupported) as fault:
            if not self._writes:
                raise
            aside = self._set_aside(path, "newer" if isinstance(fault, Unsupported) else "damaged")
            self._seen[name] = None
            notice = Notice(f"The world {name} could not be read: {fault.message}", f"it is kept as {aside}", bad=True)
            return Loaded(new_world(width, height), found=False, notices=(notice,))
        told = "; ".join(found.mended[:3])
        notices = (Notice(f"The world {name} was mended: {told}"),) if told else ()
        return Loaded(fitted(found.world, width, height), found=True, notices=notices)

    def save(self, name: str, world: World) -> None:
        """Writes the world, whole or not at all: after a power cut the file is as before or as now.

        Raises Conflict where somebody else has written it since it was loaded or saved here: what they wrote stays.
        """
        name = checked(name)
        if not self._writes:
            return
        text, path = written(world), self._path(name)
        with self._alone():
            if self.is_changed(name):
                raise Conflict(f"the world {name} was changed elsewhere", next_step="it is shown as it is there now")
            self._write(path, text)
            self._seen[name] = _mark(path)

    def is_changed(self, name: str) -> bool:
        """Whether somebody else has written or removed this world since it was loaded or saved here."""
        return name in self._seen and self._seen[name] != _mark(self._path(name))

    def rename(self, old: str, new: str) -> None:
        """Raises CallerError where there is no world of the old name, or there is one of the new."""
        source, target = self._path(checked(old)), self._path(checked(new))
        if not source.is_file():
            raise CallerError(f"there is no world {old!r}", next_step="choose one in the world menu")
        if target.exists():
            raise CallerError(f"there is a world {new!r} already", next_step="choose another name, or delete that one")
        try:
            with self._alone():
                source.rename(target)
                _sync(self.folder)
            self._seen[checked(new)] = self._seen.pop(checked(old), None) or _mark(target)
            if self.last() == checked(old):
                self._write(self.folder / _LAST, checked(new) + "\n")
        except OSError as fault:
            raise self._refused("rename", fault) from fault

    def delete(self, name: str) -> Path:
        """Takes a world away: its file stays, under the name that is returned. Raises CallerError where there is none."""
        path = self._path(checked(name))
        if not path.is_file():
            raise CallerError(f"there is no world {name!r}", next_step="choose one in the world menu")
        with self._alone():
            self._seen.pop(checked(name), None)
            return self._set_aside(path, "bak")

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _set_aside(self, path: Path, why: str) -> Path:
        """Renames a file to the first free NAME.WHY, NAME.WHY-2, …"""
        aside = path.with_name(f"{path.stem}.{why}")
        number = 1
        while aside.exists():
            number += 1
            aside = path.with_name(f"{path.stem}.{why}-{number}")
        try:
            path.rename(aside)
            _sync(self.folder)
        except OSError as fault:
            raise self._refused("rename", fault) from fault
        return aside

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes to the folder for the block. One who does not end does not keep us from it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.folder / WORLDS_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise self._refused("write", fault) from fault
        try:
            with locked(lock):
                yield
        finally:
            os.close(lock)

    def _write(self, path: Path, text: str) -> None:
        draft = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A name of its own for each: two windows that save at the same time do not write into one draft.
            number, name = tempfile.mkstemp(prefix=".draft-", dir=self.folder)
            draft = Path(name)
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            draft = None
            _sync(self.folder)
        except OSError as fault:
            raise self._refused("write", fault) from fault
        finally:
            if draft is not None:
                draft.unlink(missing_ok=True)

    def _refused(self, what: str, fault: OSError) -> A4PSError:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull("the disk is full: this world is not saved", next_step=f"make room where {self.folder} is")
        reason = fault.strerror or str(fault)
        return StorageFailed(
            f"cannot {what} the worlds in {self.folder}: {reason}", next_step="see to the folder's permissions"
        )


def _mark(path: Path) -> _Mark | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _can_be(name: str) -> bool:
    try:
        return checked(name) == name
    except CallerError:
        return False


def _content(path: Path) -> bytes:
    """The file's bytes, one more than a script may have at most."""
    if path.exists() and not path.is_file():
        # A pipe would be waited for without end.
        raise OSError(errno.EINVAL, "it is no file")
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _sync(folder: Path) -> None:
    """Has the folder's entries on the disk, too."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
