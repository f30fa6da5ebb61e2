"""The folder of model files: what is in it, and whether it is still what was fetched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from a4ps.errors import ModelFileBad, ModelMissing, WorldError
from a4ps.inference.local_models import LocalModel, Record, find_model, list_models, record_path, verify

RECORD = Record(source="hf:a/b/one.gguf", sha256=hashlib.sha256(b"one").hexdigest(), size_bytes=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one.gguf").write_bytes(b"one")
    record_path(tmp_path / "one.gguf").write_text(RECORD.model_dump_json())
    (tmp_path / "by-hand.gguf").write_bytes(b"two")
    (tmp_path / "three.gguf.part").write_bytes(b"three")
    (tmp_path / "folder.gguf").mkdir()
    return tmp_path


def test_files_are_listed_with_their_records(folder: Path) -> None:
    assert [(found.name, found.size_bytes, found.record) for found in list_models(folder)] == [
        ("by-hand", 3, None),
        ("one", 3, RECORD),
    ]
    assert list_models(folder / "absent") == ()


def test_a_file_is_found_by_name_or_path(folder: Path) -> None:
    for name in ("one", "one.gguf", str(folder / "one.gguf")):
        assert find_model(folder, name).record == RECORD
    for name in ("three", "folder", str(folder / "absent.gguf")):
        with pytest.raises(ModelMissing):
            find_model(folder, name)


@pytest.mark.parametrize("record", [b"", b"{}", b"[]", b"\xff", b'{"source": 1}'])
def test_a_record_that_is_none_counts_as_absent(folder: Path, record: bytes) -> None:
    record_path(folder / "one.gguf").write_bytes(record)
    assert find_model(folder, "one").record is None


def test_a_changed_file_is_found(folder: Path) -> None:
    assert verify(find_model(folder, "one")) == RECORD.sha256
    assert verify(find_model(folder, "by-hand")) == hashlib.sha256(b"two").hexdigest()
    (folder / "one.gguf").write_bytes(b"two")
    with pytest.raises(ModelFileBad, match="not the file that was fetched") as caught:
        verify(find_model(folder, "one"))
    assert "a4ps models pull hf:a/b/one.gguf" in caught.value.next_step
    with pytest.raises(WorldError):
        verify(LocalModel(path=folder / "absent.gguf", size_bytes=0, record=None))
