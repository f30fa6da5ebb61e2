"""The log: one JSON object a line, in one file that commands and the backend write at the same time.

A line is whole, whoever else writes. Rotation is safe between processes: it happens under a lock
on the file itself (`flock`), and a writer that finds the file renamed opens the one that is in its place. So no line
goes into a file that was put away, and none is put away twice.

Fields of a line: `time` (ISO 8601, UTC), `level`, `pid`, `logger`, `message`, and `traceback` where there is one. What has
the shape of a token or a key is left out (`without_secrets`). A guard, not a proof: a secret of another shape passes.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

LOG_BYTES = 1_000_000
LOG_FILES = 3

SECRET = "[secret]"  # noqa: S105 - what stands for one

#: How long a line waits for another process's; then it is written without rotation, which the next line sees to.
LOCK_TRIES, LOCK_PAUSE_S = 20, 0.005

# Tokens and keys as we make them: hex, URL-safe base64 of 32 bytes, and Z85 of 32 bytes (CURVE, ZeroMQ RFC 32). A
# digest looks the same and goes too, which a log can spare. Paths and names have neither digits and both cases, nor Z85's
# signs, in runs of that length.
_SECRETS = re.compile(
    r"(?<![\w-])(?:[0-9a-fA-F]{32,}|(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*[0-9])[A-Za-z0-9_-]{40,})(?![\w-])"
    r"|(?<![^\s'\",;=])(?=\S{0,39}[a-z])(?=\S{0,39}[A-Z])(?=\S{0,39}[0-9])(?=\S{0,39}[.:+=^!/*?&<>()\[\]{}@%$#-])"
    r"[0-9a-zA-Z.:+=^!/*?&<>()\[\]{}@%$#-]{40}(?![^\s'\",;])"
)


def without_secrets(text: str) -> str:
    """`text` with a word in the place of whatever has the shape of a token or key of ours."""
    return _SECRETS.sub(SECRET, text)


class JsonLines(logging.Formatter):
    """A record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "pid": record.process,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        trace = self.formatException(record.exc_info) if record.exc_info else record.exc_text or ""
        if record.stack_info:
            trace = f"{trace}\n{record.stack_info}".strip()
        if trace:
            line["traceback"] = without_secrets(trace)
        return json.dumps(line, ensure_ascii=False, default=str)


class LogFile(logging.Handler):
    """The log at `path`, rotated. It is opened with its first entry; one that cannot be written harms nobody and says
    nothing.
    """

    def __init__(self, path: Path, *, max_bytes: int = LOG_BYTES, files: int = LOG_FILES) -> None:
        """Beside the file, `files` older ones are kept: path.1 is the youngest of them."""
        super().__init__()
        self.path = path
        self.lost = False
        self._max_bytes, self._files = max_bytes, files
        self._descriptor = -1
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # A lone surrogate becomes the escape by which JSON spells it.
            self._write((self.format(record) + "\n").encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001 - whatever it is, the one who logs has other work
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - logging calls it so
        """Called for any failure to write, of a disk or a folder; logging's own way is a traceback on stderr."""
        self.lost = True

    def close(self) -> None:
        self.acquire()
        try:
            self._let_go()
        finally:
            self.release()
        super().close()

    def _write(self, line: bytes) -> None:
        while not self._written(line):
            self._let_go()

    def _written(self, line: bytes) -> bool:
        """False where the file is not, or no longer, the one to write to."""
        descriptor = self._opened()
        with locked(descriptor) as is_ours:
            if not self._is_current(descriptor):  # another process has rotated it
                return False
            size = os.fstat(descriptor).st_size
            if is_ours and size and size + len(line) > self._max_bytes:
                self._rotate()
                return False
            if os.write(descriptor, line) < len(line) and is_ours:  # the disk is full
                os.ftruncate(descriptor, size)
                self.lost = True
            return True

    def _opened(self) -> int:
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._descriptor

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        """The last step shows it to the others, so whoever sees the new file finds the older ones in their places."""
        names = [
            self.path,
            *(self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self._files + 1)),
        ]
        for older, newer in reversed(list(zip(names[1:], names, strict=False))):
            with suppress(FileNotFoundError):
                newer.rename(older)

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@contextmanager
def locked(descriptor: int) -> Iterator[bool]:
    """Hold the file's lock for the block, and say whether it was to be had in time: a stopped process may have it.

    The block must not close `descriptor`: its number may be another file's by the end.
    """
    held = False
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        else:
            held = True
            break
    try:
        yield held
    finally:
        if held:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def open_log(path: Path) -> None:
    """Log to `path`, what libraries warn of included; go on without a log where that cannot be written. Idempotent."""
    if _log_file() is not None:
        return
    with suppress(OSError):  # then the first entry fails as well, and `LogFile` takes note of it
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    logging.getLogger().addHandler(LogFile(path))
    logging.getLogger("a4ps").setLevel(logging.INFO)


def log_path() -> str:
    """The file that tracebacks went to, "" where there is none."""
    log = _log_file()
    return str(log.path) if log is not None and not log.lost else ""


def _log_file() -> LogFile | None:
    return next((handler for handler in logging.getLogger().handlers if isinstance(handler, LogFile)), None)
