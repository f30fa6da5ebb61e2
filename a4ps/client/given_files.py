"""Files that are named with @ among a tool's arguments: read where the person is, for the backend to take in.

Whether "x=@FILE" names a file depends on the tool, which only the backend knows; so what cannot be read is told of there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from a4ps.errors import UsageError

#: A file given with @ may have so many bytes; and all of them, with the other arguments, so many together.
FILE_BYTES, TOGETHER_BYTES = 4_000_000, 7_500_000


def files_of(given: Sequence[str], *, regular: bool = False) -> dict[str, bytes | str]:
    """The name of each file that may be meant → what it holds, or what is wrong with it. With `regular`, for those who
    must not wait, no pipe or device is read.

    Raises UsageError where all arguments together are more than can be sent.
    """
    files: dict[str, bytes | str] = {}
    for text in given:
        value = text if text.startswith("@") else text.partition("=")[2]
        if value.startswith("@") and not value.startswith("@@") and value[1:] not in files:
            files[value[1:]] = _content(value[1:], regular)
    size = sum(len(content) for content in files.values()) + sum(
        len(text.encode("utf-8", "surrogatepass")) for text in given
    )
    if size > TOGETHER_BYTES:
        raise UsageError(f"the arguments have more than {TOGETHER_BYTES} bytes together", next_step="give less")
    return files


def _content(name: str, regular: bool) -> bytes | str:
    try:
        if regular and Path(name).exists() and not Path(name).is_file():
            return "cannot be read: it is no regular file"
        with Path(name).open("rb") as file:
            content = file.read(FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        return f"cannot be read: {error.strerror if isinstance(error, OSError) else 'no path'}"
    return content if len(content) <= FILE_BYTES else f"has more than {FILE_BYTES} bytes"
