"""What granted code is given of the Architect's folders: three functions, answered out here, one call at a time.

    read_file(path) -> bytes      list_files(path) -> list[str]      write_file(path, data) -> None

The same for tools and for methods. Nothing of the host is mounted in the sandbox, so no code in it ever holds a descriptor
of a file here. Each path is walked from the root of this machine without following a link, folder by folder, so whoever
puts a link in the place of one meanwhile gains nothing; only plain files are opened, and both directions are capped.
Writing replaces a file whole, so a hard link elsewhere keeps its content, and whoever reads sees the old or the new.

In a turn nothing is written during the call: `StagedFolders` keeps what the tool would write, shows it to the tool as
if it were there, and hands it over as `FileWrite`s, which are put in place one by one once they are agreed to.

Limits. A hard link *into* a granted folder is a file of that folder, as it is for everybody. Bytes are capped per call;
over many calls only `RESERVE_BYTES` bounds them, which is left free on the disk.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from a4ps.errors import ToolRefused

#: One file, all that one call reads, all that it writes, how many files it writes, and how many names a folder shows.
FILE_BYTES = 4 * 1024 * 1024
READ_BYTES = 64 * 1024 * 1024
WRITTEN_BYTES = 16 * 1024 * 1024
WRITTEN_FILES = 256
NAMES_MAX = 10_000

#: What is held back of one call in a turn, in bytes and files: no more than a person who is asked about it can look at.
HELD_BYTES = 1024 * 1024
HELD_FILES = 16

#: What stays free on a disk that is written to.
RESERVE_BYTES = 256 * 1024 * 1024

#: The functions by the names that code calls them by.
NAMES = ("read_file", "list_files", "write_file")

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PERMISSIONS = 0o777
_NEW_FILE = 0o600


@dataclass(frozen=True, slots=True)
class FileWrite:
    """A file that a tool wants written. `before` is what is there now, None for no file."""

    path: str
    data: bytes
    before: bytes | None

    @property
    def version(self) -> str:
        """What the file is now, as a version: the SHA-256 of its content, "none" where there is no file."""
        return "none" if self.before is None else hashlib.sha256(self.before).hexdigest()


class GrantedFolders:
    """The folders of one call; made anew for each, since it counts what that call reads and writes."""

    def __init__(self, folders: Sequence[str], writable: Sequence[str] = ()) -> None:
        """`folders` may be read, those of them that are `writable` written to as well; absolute paths."""
        self._folders = tuple(folders)
        self._writable = tuple(writable)
        self._read = 0
        self._written = 0
        self._files = 0
        self.was_read = False
        """Whether anything of them was shown to the code: content, or names."""

    def services(self) -> Mapping[str, Callable[..., Any]]:
        """The functions by name, for the sandbox; none where no folder is granted."""
        if not self._folders:
            return {}
        return dict(zip(NAMES, (self.read_file, self.list_files, self.write_file), strict=True))

    def read_file(self, path: str) -> bytes:
        """A plain file's content. Raises ToolRefused."""
        self.was_read = True
        with self._parent(path, self._folders) as (parent, name):
            held = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
            with open(held, "rb") as file:  # noqa: PTH123 - a descriptor
                if not stat.S_ISREG(os.fstat(held).st_mode):
                    raise _refused(path, "it is no plain file")
                data = file.read(min(FILE_BYTES, READ_BYTES - self._read) + 1)
        self._read += len(data)
        if len(data) > FILE_BYTES or self._read > READ_BYTES:
            raise _refused(path, f"at most {FILE_BYTES} bytes of a file are read, and {READ_BYTES} in a call")
        return data

    def list_files(self, path: str) -> list[str]:
        """The names in a granted folder or one below it, sorted; folders end with "/". Raises ToolRefused."""
        self.was_read = True
        below = f"{path}/." if isinstance(path, str) else path
        with self._parent(below, self._folders) as (parent, _):
            held = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
            try:
                with os.scandir(held) as entries:
                    names = [
                        entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
                        for entry in islice(entries, NAMES_MAX + 1)
                    ]
            finally:
                os.close(held)
        if len(names) > NAMES_MAX:
            raise _refused(path, f"it has more than {NAMES_MAX} names")
        return sorted(os.fsencode(name).decode("utf-8", "replace") for name in names)

    def write_file(self, path: str, data: bytes | str) -> None:
        """Put `data` in the place of a file, or make it, in a folder that is writable. Raises ToolRefused.

        A file that is replaced keeps its permissions; a new one is its owner's alone.
        """
        content = self._content(path, data)
        with self._parent(path, self._writable) as (parent, name):
            found = _mode_of(path, parent, name)
            mode = _NEW_FILE if found is None else found
            draft = f".a4ps-{secrets.token_hex(8)}"
            held = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent)
            try:
                with open(held, "wb") as file:  # noqa: PTH123 - a descriptor
                    _need_room(path, held, len(content))
                    file.write(content)
                    os.fchmod(held, mode)
                os.replace(draft, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(OSError):
                    os.unlink(draft, dir_fd=parent)
                raise

    def _content(self, path: str, data: bytes | str) -> bytes:
        """The bytes to be written, counted. Raises ToolRefused where they are none, or too many."""
        if type(data) not in (bytes, str):
            raise _refused(path, f"a {type(data).__name__} cannot be written")
        content = data if isinstance(data, bytes) else data.encode("utf-8", "replace")
        if len(content) > FILE_BYTES or self._written + len(content) > WRITTEN_BYTES or self._files >= WRITTEN_FILES:
            raise _refused(
                path,
                f"at most {FILE_BYTES} bytes of a file are written, and {WRITTEN_BYTES} in {WRITTEN_FILES} files in a call",
            )
        self._written += len(content)
        self._files += 1
        return content

    @contextmanager
    def _parent(self, path: object, folders: Sequence[str]) -> Iterator[tuple[int, str]]:
        """The open folder that `path` lies in, and its name there. Raises ToolRefused, for the system's errors as well."""
        if not isinstance(path, str) or "\x00" in path or not _is_encodable(path):
            raise _refused(path, "it is no path")
        folder = next((each for each in folders if path.startswith(f"{each}/")), None)
        if folder is None:
            raise _refused(path, f"granted are: {', '.join(folders) or 'none to write to'}")
        *above, name = path[len(folder) + 1 :].split("/")
        parts = [part for part in above if part not in ("", ".")]
        if ".." in parts or name in ("", ".."):
            raise _refused(path, "it does not lie below a granted folder")
        with ExitStack() as opened:
            try:
                held = os.open("/", _FOLDER)
                opened.callback(os.close, held)
                # From the root: a grant is of a place, and no link that somebody puts into it leads elsewhere.
                for part in (*folder.split("/")[1:], *parts):
                    held = os.open(part, _FOLDER, dir_fd=held)
                    opened.callback(os.close, held)
                yield held, name
            except OSError as error:
                raise _refused(path, error.strerror or "it cannot be opened") from error


class StagedFolders(GrantedFolders):
    """The same folders, with what the tool writes held back. `writes` has it, each path once, in the order of writing."""

    def __init__(self, folders: Sequence[str], writable: Sequence[str] = ()) -> None:
        super().__init__(folders, writable)
        self._staged: dict[str, bytes] = {}

    @property
    def writes(self) -> tuple[FileWrite, ...]:
        """What is to be written. Raises ToolRefused where a file is not what it was when the tool wrote it."""
        return tuple(self.planned(path, data) for path, data in self._staged.items())

    def planned(self, path: str, data: bytes) -> FileWrite:
        """The writing of `data` to `path` as things are now. Raises ToolRefused where it may not, or cannot, be."""
        with self._parent(path, self._writable) as (parent, name):
            found = _mode_of(path, parent, name)
        return FileWrite(path, data, None if found is None else GrantedFolders(self._folders).read_file(path))

    def read_file(self, path: str) -> bytes:
        """As in `GrantedFolders`, of what was written as well."""
        staged = self._staged.get(_canonical(path))
        return super().read_file(path) if staged is None else staged

    def list_files(self, path: str) -> list[str]:
        """As in `GrantedFolders`, with what was written as well."""
        folder = _canonical(path)
        new = [each.rpartition("/")[2] for each in self._staged if each.rpartition("/")[0] == folder]
        return sorted({*super().list_files(path), *new})

    def write_file(self, path: str, data: bytes | str) -> None:
        """Keep `data` to be written later. Raises ToolRefused where it could not be written now."""
        content = self._content(path, data)
        if self._written > HELD_BYTES or len({*self._staged, _canonical(path)}) > HELD_FILES:
            raise _refused(path, f"in a turn at most {HELD_FILES} files are written, of {HELD_BYTES} bytes in all")
        with self._parent(path, self._writable) as (parent, name):
            _mode_of(path, parent, name)
        self._staged[_canonical(path)] = content


def _mode_of(path: str, parent: int, name: str) -> int | None:
    """The permissions of the file of that name, None where there is none. Raises ToolRefused for what cannot be written."""
    if not name.isprintable():
        raise _refused(path, "its name has characters that cannot be seen")
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, "it is no plain file")
    return found.st_mode & _PERMISSIONS


def _canonical(path: object) -> str:
    """One spelling of a path, without empty parts and dots; ".." is refused elsewhere."""
    return "/" + "/".join(part for part in str(path).split("/") if part not in ("", "."))


def _need_room(path: str, held: int, size: int) -> None:
    disk = os.fstatvfs(held)
    if disk.f_bavail * disk.f_frsize < size + RESERVE_BYTES:
        raise _refused(path, f"the disk is to keep {RESERVE_BYTES} bytes free")


def _is_encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _refused(path: object, why: str) -> ToolRefused:
    return ToolRefused(
        f"{ascii(path)[:100]}: {why}",
        next_step="grant the folder it lies in: a4ps tools promote NAME granted --folder DIR, or DIR:rw to write",
    )
