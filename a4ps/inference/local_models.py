"""The model files that A4PS keeps itself: a folder of GGUF files, each with a record of where it came from.

The record `FILE.gguf.json` lies beside its file and is written before it, so that a file of a download always has one. A
file that the user put there has none: it is listed, with nothing known but its size.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from a4ps.errors import ModelFileBad, ModelMissing, WorldError

SUFFIX = ".gguf"


class Record(BaseModel):
    """Where a file came from, and what it was when it came."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    source: str
    sha256: str
    size_bytes: int


class LocalModel(BaseModel):
    """One file. `record` is None for a file that was put there by hand."""

    model_config = ConfigDict(frozen=True)

    path: Path
    size_bytes: int
    record: Record | None

    @property
    def name(self) -> str:
        """What it is called by: the file's name without its ending."""
        return self.path.name.removesuffix(SUFFIX)


def record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def read_record(path: Path) -> Record | None:
    """The record of the file at `path`, None where there is none or it cannot be read as one."""
    try:
        return Record.model_validate_json(record_path(path).read_bytes())
    except (OSError, ValidationError):
        return None


def list_models(folder: Path) -> tuple[LocalModel, ...]:
    """All model files of `folder` by name; empty where the folder is not there."""
    found = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())
    return tuple(LocalModel(path=path, size_bytes=path.stat().st_size, record=read_record(path)) for path in found)


def find_model(folder: Path, name: str) -> LocalModel:
    """The file called `name` (with or without .gguf) in `folder`, or at that path. Raises `ModelMissing`."""
    inside = folder / f"{name.removesuffix(SUFFIX)}{SUFFIX}"
    path = Path(name).expanduser() if "/" in name else inside
    if not path.is_file():
        raise ModelMissing(name)
    return LocalModel(path=path, size_bytes=path.stat().st_size, record=read_record(path))


def verify(model: LocalModel) -> str:
    """The file's sha256, read in full: seconds for gigabytes.

    Raises `ModelFileBad` where the record has another one, `WorldError` where the file cannot be read.
    """
    try:
        with model.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WorldError(f"{model.path} cannot be read: {error.strerror}", next_step=f"ls -l {model.path}") from error
    if model.record is not None and digest != model.record.sha256:
        raise ModelFileBad(
            f"{model.path} is not the file that was fetched: its sha256 is {digest}, it was {model.record.sha256}",
            next_step=f"remove it and fetch it again: a4ps models pull {model.record.source}",
        )
    return digest
