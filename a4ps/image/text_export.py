"""The text export: an image as a folder that people and git can read, and its way back.

    image.toml                      format, when and by which Python; `complete` is false while it is being written
    protos/NAME/codex.toml          name, parents and codex
    protos/NAME/state.json          the slots by name, as typed_json.py writes them; unreadable ones as base64
    protos/NAME/methods/NAME.py     a header of four comments, an empty line, and the source to the letter
    protos/NAME/history.jsonl       its changes, oldest first
    turns.jsonl, records.jsonl      rows of turns and of other kinds, one a line
    removed.jsonl                   changes of Protos that are gone

What a file holds depends on the content only, never on when or where it is written, so `content_hash` is the hash of
these files but the first, and a round trip keeps it. NAME is escaped where it would not do as a file name; the true name
is inside.

The folder is not signed. Whoever imports one takes it for a stranger's: its methods get the author "import:…", which
nobody trusts, and its opaque values are kept but never loaded. Nothing in it is unpickled.
Promotions (promotions.py), approvals (approvals.py) and vouchings (memory/records.py) are not in an export, and one that
has any all the same is refused: trust is given where somebody has read the text, never brought along. Labels of taint are
in it, for reading; an import does not believe them (foreign.py).
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import tomlkit

from a4ps.errors import A4PSError, CallerError, DiskFull, ImageTooNew, StorageFailed, Unsupported, WorldError
from a4ps.image import plain, typed_json
from a4ps.image.codec import Placeholder, as_foreign, as_own, decode_slot, encode_slot
from a4ps.image.foreign import unlabelled
from a4ps.image.snapshot import ARCHITECTS_WORD, TRUST, MethodSnapshot, PortableImage, PortableRecord, ProtoSnapshot

FORMAT: Final = 1
IMPORTED: Final = "import:"
"""What stands before the author of an imported method."""

MAX_FILE_BYTES: Final = 256 * 1024 * 1024

_MARKER = "image.toml"
_WRAPPED, _RAW = "$json", "$slot"
_TURNS = frozenset(("turn", "reply", "stop", "resume"))
_NOT_OTHERS = _TURNS | ARCHITECTS_WORD
_HEADER = ("author", "reads", "writes", "reason", "method")
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_MAX_LABEL = 100


def export_text(folder: Path, content: PortableImage) -> None:
    """Write `content` into `folder`, in place of an earlier export where there is one; other files in it are left.

    Raises CallerError where `folder` is neither empty nor an export, or codex or history are not JSON data; DiskFull
    and StorageFailed, after which the folder says that it is incomplete and can be written again. Not synced to disk:
    the image stays the truth.
    """
    files = dict(_files(content))
    try:
        _check_target(folder)
        folder.mkdir(parents=True, exist_ok=True)
        marker = files.pop(_MARKER)
        (folder / _MARKER).write_bytes(marker.replace(b"complete = true", b"complete = false"))
        _remove_stale(folder, set(files))
        for name, text in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text)
        (folder / _MARKER).write_bytes(marker)
    except OSError as error:
        raise _world_error(error, f"the export {folder} cannot be written") from error


def import_text(folder: Path) -> PortableImage:
    """The content of an exported folder, all of it a stranger's.

    Raises CallerError, with the file's name, where it is not a complete export or cannot be read; ImageTooNew;
    Unsupported; StorageFailed.
    """
    source = _Source(folder)
    if not source.text(_MARKER):
        raise CallerError(f"{folder} is not a text export", next_step="name the folder that holds image.toml")
    marker = source.toml(_MARKER)
    with source.reading(_MARKER):
        if marker["format"] > FORMAT:
            raise ImageTooNew(
                f"{folder} is of format {marker['format']}; this A4PS knows up to {FORMAT}", next_step="update A4PS"
            )
        if marker["complete"] is not True:
            raise CallerError(f"the export {folder} was not finished", next_step="export it again")
        created_at = datetime.fromisoformat(marker["created_at"])
        python = str(marker["python"])
    protos: dict[str, ProtoSnapshot] = {}
    history: dict[str, tuple[Mapping[str, object], ...]] = {}
    for place in source.folders("protos"):
        proto = _read_proto(source, place)
        if proto.name in protos:
            raise CallerError(f"{folder} has the Proto {proto.name} twice", next_step="rename or remove one of them")
        protos[proto.name] = proto
        changes = tuple(source.lines(f"{place}/history.jsonl"))
        if changes:
            history[proto.name] = changes
    for line in source.lines("removed.jsonl"):
        with source.reading("removed.jsonl"):
            history[line["proto"]] = (*history.get(line["proto"], ()), line["change"])
    records = []
    for name in ("turns.jsonl", "records.jsonl"):
        with source.reading(name):
            records += [_record_of(line) for line in source.lines(name)]
    return PortableImage(created_at, protos, history, tuple(records), python, foreign=True)


def exportable(content: PortableImage) -> tuple[PortableImage, tuple[str, ...]]:
    """What of `content`, which nobody verified, an export can hold, and the name of each part that is left out."""
    lost: list[str] = []

    def fits(part: str, write: Callable[..., object], *arguments: object) -> bool:
        try:
            write(*arguments)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - anything at all may be wrong with it
            lost.append(f"{part}: {error}")
            return False
        return True

    protos = {}
    for name, proto in content.protos.items():
        if fits(name, _codex_text, proto):
            paths = {slot: _slot_path(name, slot) for slot in proto.slots}
            slots = {
                slot: data for slot, data in proto.slots.items() if fits(paths[slot], _slot_node, data, paths[slot])
            }
            methods = {
                key: method
                for key, method in proto.methods.items()
                if fits(f"the method {name}.{key}", _method_text, key, method)
            }
            protos[name] = replace(proto, slots=slots, methods=methods)
    history = {
        name: tuple(line for line in lines if fits(f"a change of {name}", _jsonl, [line]))
        for name, lines in content.history.items()
    }
    records = tuple(each for each in content.records if fits(f"the {each.kind} {each.key}", _record_text, each))
    return replace(content, protos=protos, history=history, records=records), tuple(lost)


def content_hash(content: PortableImage) -> str:
    """SHA-256, hex, over all that an export of `content` would say of it.

    Not of when and by what it was exported, nor of who brought it here and what of it is trusted.
    """
    digest = hashlib.sha256()
    for name, text in sorted(_files(unlabelled(content), as_first_written=True)):
        if name == _MARKER:
            continue
        for part in (name.encode(), text):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _files(content: PortableImage, *, as_first_written: bool = False) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file of an export."""
    marker = {
        "format": FORMAT,
        "created_at": content.created_at.astimezone(UTC).isoformat(),
        "python": content.python,
        "complete": True,
    }
    yield _MARKER, tomlkit.dumps(marker).encode()
    labels = _Labels()
    for name, proto in sorted(content.protos.items()):
        place = f"protos/{labels.of(name)}"
        yield f"{place}/codex.toml", _codex_text(proto).encode("utf-8", "surrogatepass")
        yield f"{place}/state.json", _state_text(proto).encode("utf-8", "surrogatepass")
        method_labels = _Labels()
        for method_name, method in sorted(proto.methods.items()):
            text = _method_text(method_name, method, as_first_written=as_first_written)
            yield f"{place}/methods/{method_labels.of(method_name)}.py", text.encode("utf-8", "surrogatepass")
        if content.history.get(name):
            yield f"{place}/history.jsonl", _jsonl(content.history[name])
    gone = [
        {"proto": name, "change": change}
        for name, changes in sorted(content.history.items())
        for change in changes
        if name not in content.protos
    ]
    turns = [_line_of(record) for record in content.records if record.kind in _TURNS]
    others = [_line_of(record) for record in content.records if record.kind not in _NOT_OTHERS]
    for file, lines in (("removed.jsonl", gone), ("turns.jsonl", turns), ("records.jsonl", others)):
        if lines:
            yield file, _jsonl(lines)


class _Labels:
    """File names for the names of one folder, which are to be asked for in sorted order.

    Letters, digits, `-` and `_` stand for themselves, another character for `%` and the hex of its UTF-8. What is too
    long, or would meet another name on a disk that ignores case, gets a piece of the name's digest.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        label = _UNFIT.sub(lambda found: "".join(f"%{byte:02X}" for byte in _utf8(found[0])), name) or "%"
        if len(label) > _MAX_LABEL or label.casefold() in self._taken:
            label = f"{label[:_MAX_LABEL]}~{hashlib.sha256(_utf8(name)).hexdigest()[:16]}"
        self._taken.add(label.casefold())
        return label


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _codex_text(proto: ProtoSnapshot) -> str:
    root = _table({"name": proto.name, "parents": list(proto.parents)})
    root["codex"] = _table(_json_object(proto.codex, f"the codex of {proto.name}"))
    return tomlkit.dumps(root)


def _table(fields: Mapping[str, object]) -> dict[str, object]:
    """`fields` for TOML; what it cannot say to the letter (null, wide numbers, some texts) goes into `$json` as text.

    Tables come last, where TOML puts them anyway, so that reading and writing again changes nothing.
    """
    values: dict[str, object] = {}
    tables: dict[str, object] = {}
    wrapped: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, str) and "\n" in value and _survives(name, lines := tomlkit.string(value, multiline=True)):
            values[name] = lines
        elif not _survives(name, value):
            wrapped[name] = json.dumps(value)
        elif isinstance(value, dict):
            tables[name] = value
        else:
            values[name] = value
    return {**values, **tables, **({_WRAPPED: wrapped} if wrapped else {})}


def _survives(name: str, value: object) -> bool:
    if name == _WRAPPED or (isinstance(value, list) and _holds_table(value)):
        return False
    try:
        read = tomllib.loads(tomlkit.dumps({name: value}))
    except (ValueError, TypeError, AttributeError):
        return False
    return set(read) == {name} and json.dumps(read[name]) == json.dumps(value)


def _holds_table(values: list[object]) -> bool:
    """TOML may write such a list behind its brothers."""
    return any(isinstance(value, dict) or (isinstance(value, list) and _holds_table(value)) for value in values)


def _from_table(table: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in table.items() if name != _WRAPPED}
    return {**fields, **{name: json.loads(text) for name, text in table.get(_WRAPPED, {}).items()}}


def _state_text(proto: ProtoSnapshot) -> str:
    slots = {name: _slot_node(data, _slot_path(proto.name, name)) for name, data in sorted(proto.slots.items())}
    return json.dumps(slots, indent=1, ensure_ascii=False) + "\n"


def _slot_path(proto: str, slot: str) -> str:
    return f"{proto}.state[{json.dumps(slot)}]"


def _slot_node(data: bytes, path: str) -> object:
    """Raises IntegrityError where `data` is not a slot's."""
    value = decode_slot(data, path)
    if not isinstance(value, Placeholder):
        try:
            return typed_json.to_json(value)
        except typed_json.TooDeep:
            pass
    return {_RAW: base64.b64encode(as_own(data)).decode()}


def _slot_of(node: object, path: str) -> bytes:
    if isinstance(node, dict) and _RAW in node:
        data = as_foreign(base64.b64decode(node[_RAW], validate=True))
        # Refuses bytes that are not a slot's; what they hold is looked at again whenever they are read.
        decode_slot(data, path)
        return data
    return encode_slot(typed_json.from_json(node), path)


def _method_text(name: str, method: MethodSnapshot, *, as_first_written: bool = False) -> str:
    author = method.author.removeprefix(IMPORTED) if as_first_written else method.author
    values = (author, list(method.reads), list(method.writes), method.reason, name)
    header = [
        f"# {field}: {json.dumps(value, ensure_ascii=False)}\n" for field, value in zip(_HEADER, values, strict=True)
    ]
    return "".join(header) + "\n" + method.source


def _method_of(text: str) -> tuple[str, MethodSnapshot]:
    *lines, source = text.split("\n", len(_HEADER) + 1)
    fields = []
    for field, line in zip((*_HEADER, ""), lines, strict=True):
        start = f"# {field}: " if field else ""
        if not line.startswith(start) or (line and not field):
            raise ValueError(f"the header lacks {field or 'its empty line'}")
        if field:
            fields.append(json.loads(line.removeprefix(start)))
    author, reads, writes, reason, name = fields
    author = IMPORTED + str(author).removeprefix(IMPORTED)
    return str(name), MethodSnapshot(source, author, str(reason), tuple(map(str, reads)), tuple(map(str, writes)))


def _line_of(record: PortableRecord) -> dict[str, object]:
    line: dict[str, object] = {"kind": record.kind, "key": record.key, "at": record.at.astimezone(UTC).isoformat()}
    if record.text:
        line["text"] = record.text
    payload = _as_json(record.payload)
    if payload is None:
        return {**line, "base64": base64.b64encode(record.payload).decode()}
    return {**line, "payload": payload}


def _record_text(record: PortableRecord) -> bytes:
    return _jsonl([_line_of(record)])


def _as_json(payload: bytes) -> object:
    """The JSON data that is written as these very bytes, None where there is none (or it is null)."""
    try:
        value = json.loads(payload)
        return value if _utf8(_compact(value)) == payload else None
    except (ValueError, RecursionError):
        return None


def _record_of(line: Mapping[str, Any]) -> PortableRecord:
    payload = base64.b64decode(line["base64"], validate=True) if "base64" in line else _utf8(_compact(line["payload"]))
    at = datetime.fromisoformat(line["at"])
    if at.tzinfo is None:
        raise ValueError("`at` has no time zone")
    if line["kind"] == TRUST:
        raise CallerError(
            f"the export brings trust for the text {ascii(line['key'])[:70]}",
            next_step="take it out; read, then promote",
        )
    if line["kind"] in ARCHITECTS_WORD:
        raise CallerError(
            f"the export brings your word, {line['kind']} {ascii(line['key'])[:70]}",
            next_step="take it out: only you can approve and vouch",
        )
    return PortableRecord(str(line["kind"]), str(line["key"]), payload, at, str(line.get("text", "")))


def _jsonl(lines: Iterable[Mapping[str, object]]) -> bytes:
    return b"".join(_utf8(_compact(_json_object(line, "a line of history")) + "\n") for line in lines)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _json_object(value: Mapping[str, object], name: str) -> dict[str, object]:
    """A copy made of dicts and lists. Raises CallerError where `value` is not JSON data."""
    try:
        return json.loads(json.dumps(value, default=dict))  # type: ignore[no-any-return]
    except (TypeError, ValueError, RecursionError) as error:
        raise CallerError(f"{name} is not JSON data: {error}", next_step="keep other values in slots") from error


def _read_proto(source: _Source, place: str) -> ProtoSnapshot:
    file = f"{place}/codex.toml"
    with source.reading(file):
        table = source.toml(file)
        codex = _from_table(table.pop("codex"))
        root = _from_table(table)
        name, parents = str(root["name"]), tuple(map(str, root["parents"]))
    file = f"{place}/state.json"
    with source.reading(file):
        nodes = json.loads(source.text(file))
        slots = {slot: _slot_of(node, _slot_path(name, slot)) for slot, node in nodes.items()}
    methods = {}
    for file in source.sources(f"{place}/methods"):
        with source.reading(file):
            method_name, method = _method_of(source.text(file))
            methods[method_name] = method
    return ProtoSnapshot(name, codex, parents, methods, slots)


@dataclass(frozen=True, slots=True)
class _Source:
    """A stranger's folder. Links in it are not followed, and no file is read that is longer than any of ours."""

    folder: Path

    def text(self, name: str) -> str:
        """ "" where there is no such file. Raises CallerError, StorageFailed."""
        path = self.folder / name
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise CallerError(f"{path} is a link", next_step="put a file in its place") from None
            raise _world_error(error, f"{path} cannot be read") from error
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise CallerError(f"{path} is not a file", next_step="put a file in its place")
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise CallerError(f"{path} has more than {MAX_FILE_BYTES} bytes", next_step="no export has such a file")
        with self.reading(name):
            return content.decode("utf-8", "surrogatepass")

    def toml(self, name: str) -> dict[str, Any]:
        with self.reading(name):
            return tomllib.loads(self.text(name))

    def lines(self, name: str) -> list[dict[str, Any]]:
        with self.reading(name):
            return [json.loads(line) for line in self.text(name).split("\n") if line]

    def folders(self, name: str) -> list[str]:
        return [f"{name}/{entry.name}" for entry in self._entries(name) if entry.is_dir() and not entry.is_symlink()]

    def sources(self, name: str) -> list[str]:
        return [f"{name}/{entry.name}" for entry in self._entries(name) if entry.suffix == ".py"]

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Whatever a stranger's file does to its parser is said with the file's name."""
        try:
            yield
        except (A4PSError, OSError):
            raise
        except plain.Lacking as lacking:
            raise Unsupported(f"{self.folder / name} cannot be read here: {lacking}", next_step="install it") from None
        except Exception as error:
            raise CallerError(
                f"{self.folder / name} is not as an export has it: {type(error).__name__}: {error}",
                next_step="correct the file, or export again",
            ) from error

    def _entries(self, name: str) -> list[Path]:
        path = self.folder / name
        try:
            return sorted(path.iterdir()) if path.is_dir() and not path.is_symlink() else []
        except OSError as error:
            raise _world_error(error, f"{path} cannot be read") from error


def _check_target(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise CallerError(f"{folder} is not a folder", next_step="name another")
    if folder.is_dir() and not (folder / _MARKER).is_file() and any(entry.name != ".git" for entry in folder.iterdir()):
        raise CallerError(f"{folder} holds something else than an export", next_step="name an empty folder")
    for pattern in ("*", "protos/*", "protos/*/*", "protos/*/methods/*"):
        for entry in folder.glob(pattern):
            if entry.is_symlink():
                raise CallerError(f"{entry} is a link, and an export has none", next_step="remove it")


def _remove_stale(folder: Path, files: set[str]) -> None:
    """Take away what an earlier export wrote and this one does not."""
    patterns = ("*.jsonl", "protos/*/codex.toml", "protos/*/state.json", "protos/*/*.jsonl", "protos/*/methods/*.py")
    for old in [path for pattern in patterns for path in folder.glob(pattern)]:
        if str(old.relative_to(folder)) not in files:
            old.unlink()
    for emptied in (*folder.glob("protos/*/methods"), *folder.glob("protos/*")):
        with suppress(OSError):
            emptied.rmdir()


def _world_error(error: OSError, message: str) -> WorldError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(message, next_step="free some space and try again")
    return StorageFailed(f"{message}: {error.strerror}", next_step="check the path, its permissions and its disk")
