"""The portable file: all of an image in one signed file, verified before it is read, replaced as a whole or not at all."""

from __future__ import annotations

import errno
import hmac
import os
import pickle
import struct
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import CallerError, DiskFull, ImageTooNew, IntegrityError, KeyLost, StorageFailed, Unstorable
from a4ps.image import plain, portable
from a4ps.image.codec import Opaque, decode_slot
from a4ps.image.drafts import draft_of
from a4ps.image.keys import KeyFolder
from a4ps.image.portable import read_portable, write_portable
from a4ps.image.snapshot import MethodSnapshot, PortableImage, ProtoSnapshot
from tests.image.images import CREATED, an_image

IMAGE_ID = bytes(range(16))
FORMATS = Path(__file__).parent.parent / "data" / "formats"
HEAD = 34
MAC = 32


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path / "keys")
    folder.create(IMAGE_ID)
    return folder


@pytest.fixture
def file(tmp_path: Path, keys: KeyFolder) -> Path:
    path = tmp_path / "image.portable"
    write_portable(path, an_image(), keys, IMAGE_ID)
    return path


def signed(keys: KeyFolder, body: bytes, version: int = 1) -> bytes:
    """A file that somebody with the key made."""
    head = struct.pack(">8sH16sQ", b"A4PSport", version, IMAGE_ID, len(body))
    return head + hmac.digest(keys.load(IMAGE_ID), head + body, "sha256") + body


class TestRoundTrip:
    def test_keeps_everything(self, file: Path, keys: KeyFolder) -> None:
        content = an_image()
        back = read_portable(file, keys)
        native = back.protos["BRICK"].slots["native"]
        assert isinstance(decode_slot(native, "native", trusted=True), Opaque)
        assert back == replace(content, protos=with_native(content, native))

    def test_keeps_no_proto_at_all(self, tmp_path: Path, keys: KeyFolder) -> None:
        empty = PortableImage(CREATED, {})
        write_portable(tmp_path / "empty", empty, keys, IMAGE_ID)
        assert read_portable(tmp_path / "empty", keys) == empty

    def test_is_read_by_dill_alone_after_its_head(self, file: Path) -> None:
        import dill  # type: ignore[import-untyped]

        body = dill.loads(file.read_bytes()[HEAD + MAC :])
        assert set(body) == {"content"}

    def test_is_private(self, file: Path) -> None:
        assert file.stat().st_mode & 0o777 == 0o600

    def test_replaces_an_older_file_and_leaves_nothing_beside_it(self, file: Path, keys: KeyFolder) -> None:
        write_portable(file, PortableImage(CREATED, {}), keys, IMAGE_ID)
        assert read_portable(file, keys).protos == {}
        assert [path.name for path in file.parent.iterdir() if path.is_file()] == [file.name]


def with_native(content: PortableImage, data: bytes) -> dict[str, ProtoSnapshot]:
    brick = content.protos["BRICK"]
    return {**content.protos, "BRICK": replace(brick, slots={**brick.slots, "native": data})}


class TestRefusals:
    def test_of_another_homes_file(self, file: Path, tmp_path: Path) -> None:
        with pytest.raises(KeyLost):
            read_portable(file, KeyFolder(tmp_path / "other"))

    def test_of_a_wrong_key_under_the_right_name(self, file: Path, tmp_path: Path) -> None:
        other = KeyFolder(tmp_path / "other")
        other.create(IMAGE_ID)
        with pytest.raises(IntegrityError, match="signature"):
            read_portable(file, other)

    def test_of_saving_without_a_key(self, tmp_path: Path, keys: KeyFolder) -> None:
        with pytest.raises(KeyLost):
            write_portable(tmp_path / "new", an_image(), keys, bytes(16))
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("content", [b"", b"A4PSport", b"SQLite format 3\x00" * 10, pickle.dumps([1] * 100)])
    def test_of_other_files(self, tmp_path: Path, keys: KeyFolder, content: bytes) -> None:
        path = tmp_path / "other"
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match="not a portable image"):
            read_portable(path, keys)

    def test_of_bytes_after_the_end(self, file: Path, keys: KeyFolder) -> None:
        file.write_bytes(file.read_bytes() + b"x")
        with pytest.raises(IntegrityError, match="content"):
            read_portable(file, keys)

    def test_of_a_file_that_is_not_there(self, tmp_path: Path, keys: KeyFolder) -> None:
        with pytest.raises(StorageFailed):
            read_portable(tmp_path / "nothing", keys)

    def test_of_a_newer_format(self, file: Path, keys: KeyFolder) -> None:
        file.write_bytes(signed(keys, b"whatever the future holds", 2))
        with pytest.raises(ImageTooNew):
            read_portable(file, keys)

    @pytest.mark.parametrize("body", [b"", b"noise", plain.dumps([1]), plain.dumps({"content": 3}), b"cos\nsystem\n."])
    def test_of_signed_nonsense(self, file: Path, keys: KeyFolder, body: bytes) -> None:
        file.write_bytes(signed(keys, body))
        with pytest.raises(IntegrityError):
            read_portable(file, keys)

    def test_of_what_is_not_json(self, tmp_path: Path, keys: KeyFolder) -> None:
        strange = ProtoSnapshot("A", {"role": object()})
        with pytest.raises(CallerError):
            write_portable(tmp_path / "new", PortableImage(CREATED, {"A": strange}), keys, IMAGE_ID)
        with pytest.raises(Unstorable):
            write_portable(
                tmp_path / "new", PortableImage(CREATED, {}, {"A": ({"x": threading.Lock()},)}), keys, IMAGE_ID
            )
        assert not (tmp_path / "new").exists()


class TestTheDisk:
    @pytest.mark.parametrize("call", ["fsync", "rename"])
    @pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EIO, StorageFailed)])
    def test_refusing_leaves_the_old_file(
        self,
        file: Path,
        keys: KeyFolder,
        monkeypatch: pytest.MonkeyPatch,
        call: str,
        number: int,
        kind: type[Exception],
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(number, os.strerror(number))

        before = file.read_bytes()
        monkeypatch.setattr(os, call, refuse)
        with pytest.raises(kind):
            write_portable(file, PortableImage(CREATED, {}), keys, IMAGE_ID)
        monkeypatch.undo()
        assert file.read_bytes() == before
        assert [path.name for path in file.parent.iterdir() if path.is_file()] == [file.name]

    def test_what_a_killed_writer_left_is_removed_and_a_living_ones_is_not(self, file: Path, keys: KeyFolder) -> None:
        dead = file.with_name(".a4ps-draft.dead")
        dead.mkdir()
        (dead / file.name).write_bytes(b"half")
        with draft_of(file) as living:
            living.write_bytes(b"half")
            write_portable(file, PortableImage(CREATED, {}), keys, IMAGE_ID)
            assert living.read_bytes() == b"half"
        assert not dead.exists()
        assert not living.parent.exists()


class TestSnapshot:
    def test_payload_round_trip(self) -> None:
        for proto in an_image().protos.values():
            assert ProtoSnapshot.from_payload(proto.to_payload()) == proto

    def test_newer_payload(self) -> None:
        newer = (
            ProtoSnapshot("A", {}, methods={"m": MethodSnapshot("", "")})
            .to_payload()
            .replace(b"\xa6format\x01", b"\xa6format\x02")
        )
        with pytest.raises(ImageTooNew):
            ProtoSnapshot.from_payload(newer)

    @pytest.mark.parametrize("payload", [b"", b"\x01", b"\x80", b"\x81\xa6format\x01", b"\xff\xff"])
    def test_broken_payload(self, payload: bytes) -> None:
        with pytest.raises(IntegrityError):
            ProtoSnapshot.from_payload(payload)


class TestFormatOne:
    def test_is_read_for_ever(self, tmp_path: Path) -> None:
        folder = tmp_path / "fixture-keys"
        folder.mkdir()
        (folder / f"{IMAGE_ID.hex()}.key").write_bytes(bytes(32))
        back = read_portable(FORMATS / "portable-1.a4ps", KeyFolder(folder))
        native = back.protos["BRICK"].slots["native"]
        assert back == replace(an_image(), protos=with_native(an_image(), native))

    def test_is_what_the_code_calls_it(self) -> None:
        assert portable.FORMAT == 1
