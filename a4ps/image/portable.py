"""The portable file: a whole image as one signed file, for backups and for carrying it to another machine.

    magic    8 bytes, "A4PSport"
    format   2 bytes, big-endian: 1
    key id   16 bytes, the id of the image whose key signed the file
    length   8 bytes, big-endian, of the body
    MAC      32 bytes, HMAC-SHA256 with that key over everything before it and the body
    body     a dill stream of plain data: {"content": bytes of plain.py}

All of it is verified before anything is unpickled, and what is unpickled then is held to plain data: the body is dill's
so that any Python with dill can read it, but reading it here needs no dill. The MAC's message begins with the magic, and
those of seal.py with a length whose first byte is 0, so neither can pass for the other.

What it carries, it carries with its promotions (promotions.py): whoever holds the key is the Architect.

A file is written as a draft (drafts.py), synced and renamed: a kill or a full disk leaves the old file or the new one.
The whole file is held in memory, about three times.
"""

from __future__ import annotations

import errno
import hmac
import os
import struct
from pathlib import Path
from typing import Any, Final

from a4ps.errors import DiskFull, ImageTooNew, IntegrityError, KeyLost, StorageFailed, Unstorable, WorldError
from a4ps.image import plain
from a4ps.image.drafts import draft_of
from a4ps.image.json_data import thawed
from a4ps.image.keys import KeyFolder, fsync_folder
from a4ps.image.seal import MAC_BYTES, same
from a4ps.image.snapshot import PortableImage, PortableRecord, ProtoSnapshot

FORMAT: Final = 1
_MAGIC = b"A4PSport"
_HEAD = struct.Struct(">8sH16sQ")
_ANOTHER = "load another copy of it"


def write_portable(path: Path, content: PortableImage, keys: KeyFolder, image_id: bytes) -> None:
    """Put `content` into the file `path` (0600), signed with the key of `image_id`; durable when this returns.

    Raises KeyLost; CallerError where codex or history are not JSON data; DiskFull, StorageFailed. What was at `path`
    is untouched then, except that a fault of the last folder sync leaves the new file there, not yet durable.
    """
    key = keys.load(image_id)
    body = _packed(content)
    head = _HEAD.pack(_MAGIC, FORMAT, image_id, len(body))
    try:
        _replace(path, (head, _mac(key, head, body), body))
    except OSError as error:
        raise _world_error(error, f"the file {path} cannot be written") from error


def read_portable(path: Path, keys: KeyFolder) -> PortableImage:
    """The content of a file that was signed with a key of `keys`, which is verified whole before any of it is used.

    Raises KeyLost where its key is not here; IntegrityError where it is not such a file, or changed, or cut short;
    ImageTooNew; StorageFailed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _world_error(error, f"the file {path} cannot be read") from error
    start = _HEAD.size + MAC_BYTES
    if len(data) < start or not data.startswith(_MAGIC):
        raise IntegrityError(f"{path} is not a portable image of A4PS", next_step="name another file")
    head = data[: _HEAD.size]
    _, version, image_id, length = _HEAD.unpack(head)
    body = memoryview(data)[start:]
    if length != len(body):
        raise IntegrityError(f"{path} has {len(body)} bytes of content where {length} were written", next_step=_ANOTHER)
    try:
        key = keys.load(image_id)
    except KeyLost as error:
        raise KeyLost(
            f"{path} was signed with the key {image_id.hex()}, which is not in {keys.path}",
            next_step="where it was made: a4ps image export FOLDER; and here: a4ps image import FOLDER",
        ) from error
    if not same(data[_HEAD.size : start], _mac(key, head, body)):
        raise IntegrityError(f"{path} is not what was written: its signature is wrong", next_step=_ANOTHER)
    if version > FORMAT:
        raise ImageTooNew(f"{path} has format {version}; this A4PS knows up to {FORMAT}", next_step="update A4PS")
    return _unpacked(data, start, path)


def _mac(key: bytes, head: bytes, body: bytes | memoryview) -> bytes:
    mac = hmac.new(key, head, "sha256")
    mac.update(body)
    return mac.digest()


def _packed(content: PortableImage) -> bytes:
    import dill  # type: ignore[import-untyped]

    fields = {
        "created_at": content.created_at,
        "python": content.python,
        "protos": [proto.to_payload() for proto in content.protos.values()],
        "history": {name: [thawed(change) for change in changes] for name, changes in content.history.items()},
        "records": [(r.kind, r.key, r.payload, r.at, r.text) for r in content.records],
    }
    try:
        packed = plain.dumps(fields)
    except plain.Refused as refused:
        raise Unstorable(
            f"the history or a record holds a {type(refused.culprit).__qualname__}",
            path="history",
            next_step="keep JSON data in them",
        ) from None
    # dill walks a value in Python: one string of bytes costs it nothing, a hundred thousand objects seconds.
    return dill.dumps({"content": packed}, protocol=5)  # type: ignore[no-any-return]


def _unpacked(data: bytes, start: int, path: Path) -> PortableImage:
    try:
        body: Any = plain.loads(data, start)
        fields: Any = plain.loads(body["content"], 0)
        protos = [ProtoSnapshot.from_payload(payload) for payload in fields["protos"]]
        return PortableImage(
            fields["created_at"],
            {proto.name: proto for proto in protos},
            {name: tuple(changes) for name, changes in fields["history"].items()},
            tuple(PortableRecord(*record) for record in fields["records"]),
            fields["python"],
        )
    except plain.Lacking as lacking:
        raise IntegrityError(f"{path} cannot be read here: {lacking}", next_step="install what it needs") from lacking
    except (TypeError, KeyError, AttributeError) as error:
        raise IntegrityError(f"{path} is signed, but is not a portable image", next_step=_ANOTHER) from error


def _replace(path: Path, parts: tuple[bytes, ...]) -> None:
    """Raises OSError, and then removes what it wrote."""
    with draft_of(path) as draft:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    fsync_folder(path.parent)


def _world_error(error: OSError, message: str) -> WorldError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(message, next_step="free some space and try again")
    return StorageFailed(f"{message}: {error.strerror}", next_step="check the path, its permissions and its disk")
