"""The manifest: which models lie in `tests/data/models`, what they must answer, and what was measured when they were made.

Standard library only, so that any test can ask it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data" / "models"
_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class Fixture:
    """One GGUF file. `base` names the file that a LoRA belongs to and is "" for a base.

    `answers` maps questions, asked without a system prompt and decoded greedily, to the exact replies of llama.cpp; those
    that were not learnt word for word are left out. `measured` is for reading.
    """

    name: str
    base: str
    bytes: int
    sha256: str
    answers: Mapping[str, str]
    measured: Mapping[str, str | float]

    @property
    def path(self) -> Path:
        return FOLDER / self.name


@dataclass(frozen=True, slots=True)
class Manifest:
    """All fixtures, and what they were made from: a digest of recipe and corpus, and the versions of the libraries."""

    recipe_sha256: str
    versions: Mapping[str, str]
    fixtures: tuple[Fixture, ...]

    def __getitem__(self, name: str) -> Fixture:
        """The fixture `name`, such as "tiny.gguf". Raises KeyError."""
        for fixture in self.fixtures:
            if fixture.name == name:
                return fixture
        raise KeyError(name)

    def loras(self) -> tuple[Fixture, ...]:
        """The LoRAs, in the order of the personas."""
        return tuple(fixture for fixture in self.fixtures if fixture.base)


def read(folder: Path = FOLDER) -> Manifest:
    """The manifest in `folder`."""
    known = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    return Manifest(**{**known, "fixtures": tuple(Fixture(**fixture) for fixture in known["fixtures"])})


def write(manifest: Manifest, folder: Path) -> None:
    """Write `manifest` into `folder`, in the place of an earlier one."""
    text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False)
    (folder / _FILE).write_text(text + "\n", encoding="utf-8")


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
