"""Which files the embedded engine's model names stand for, and what those files are.

`NAME` is NAME.gguf in the folder, or an absolute path; `NAME+LORA` is that base under LORA.gguf. Files are examined in a
child process, once for each file as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from a4ps.errors import EngineRefused, ModelFileBad, ModelMissing, ModelUnexamined, WorldError
from a4ps.inference.engine import ModelCard, ModelInfo
from a4ps.inference.examined import Examined
from a4ps.inference.examiner import examine
from a4ps.inference.local_models import SUFFIX, list_models, read_record

Version: TypeAlias = tuple[int, int, int]
_SAID = {"model": "a model", "adapter": "a LoRA"}


@dataclass(frozen=True, slots=True)
class Named:
    """What a model's name stands for."""

    model: str
    base: Path
    lora: Path | None

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.base,) if self.lora is None else (self.base, self.lora)

    @property
    def digest(self) -> str:
        """The recorded sha256 of base and LoRA; "" where one has none."""
        records = [read_record(path) for path in self.paths]
        return "+".join(record.sha256 for record in records if record is not None) if all(records) else ""


class ModelFiles:
    """The folder, and the names that were announced: what is not listed by its own file is listed for being one of them."""

    def __init__(self, folder: Path, announced: Iterable[str]) -> None:
        self.folder = folder
        self._announced = tuple(dict.fromkeys(announced))
        self._called: dict[Path, dict[Path, None]] = {}
        self._examined: dict[tuple[Path, Version], Examined] = {}

    def find(self, model: str) -> Named:
        """Raises `ModelMissing`. A file whose own name has a plus goes before a base and a LoRA."""
        whole = self._file(model)
        if whole is not None:
            return Named(model, whole, None)
        name, plus, lora = model.rpartition("+")
        base, laid = self._file(name), self._file(lora)
        if not plus or base is None or laid is None:
            raise ModelMissing(model)
        return Named(model, base, laid)

    def _file(self, name: str) -> Path | None:
        if not name or "\0" in name or ("/" in name and not name.startswith("/")):
            return None
        path = Path(name) if name.startswith("/") else self.folder / f"{name}{SUFFIX}"
        return path if path.is_file() else None

    def name_of(self, path: Path) -> str:
        """The name that stands for the file."""
        return path.name.removesuffix(SUFFIX) if path.parent == self.folder else str(path)

    def loras_beside(self, named: Named) -> tuple[Path, ...]:
        """The LoRAs of this base that are there: the announced ones and those called before, in a steady order."""
        found = self._called.setdefault(named.base, {})
        for model in (*self._announced, named.model):
            with suppress(ModelMissing):
                other = self.find(model)
                if other.base == named.base and other.lora is not None:
                    found[other.lora] = None
        return tuple(lora for lora in found if lora.is_file())

    async def listed(self) -> tuple[ModelInfo, ...]:
        """The bases of the folder by name, then the announced names that are no file's but can be called.

        A file that cannot be examined just now is listed; one that is no model is not.
        """
        found = [
            ModelInfo(local.name, local.size_bytes, local.record.sha256 if local.record else "")
            for local in list_models(self.folder)
            if await self._is_base(local.path)
        ]
        listed = {info.name for info in found}
        for model in self._announced:
            with suppress(ModelMissing):
                named = self.find(model)
                if model not in listed:
                    found.append(ModelInfo(model, sum(path.stat().st_size for path in named.paths), named.digest))
        return tuple(found)

    async def check(self, named: Named, *, chat: bool) -> tuple[Examined, Examined | None]:
        """What the header of the base says, and of the LoRA if there is one.

        Raises `EngineRefused` for a file that is not what it is called as, a LoRA of another architecture than the base,
        or, where it is to `chat`, a base without a chat template.
        """
        base = await self._as(named.base, named.model, "model")
        if chat and not base.has_chat_template:
            raise EngineRefused(
                f"{named.model} has no chat template: how its messages are to be marked cannot be known",
                next_step="take the instruct or chat version of this model",
            )
        if named.lora is None:
            return base, None
        lora = await self._as(named.lora, named.model, "adapter")
        if lora.architecture != base.architecture:
            raise EngineRefused(
                f"{named.model}: the LoRA is for {lora.architecture}, the base is {base.architecture}",
                next_step="take a LoRA that was trained on this base",
            )
        return base, lora

    async def card(self, named: Named) -> ModelCard:
        """Raises `EngineRefused` as `check` does. "thinking" is not among the capabilities, as a header does not tell it."""
        base, lora = await self.check(named, chat=False)
        return ModelCard(
            name=named.model,
            architecture=base.architecture,
            weights_bytes=base.file_bytes + (lora.file_bytes if lora is not None else 0),
            base=self.name_of(named.base),
            lora=self.name_of(named.lora) if named.lora is not None else "",
            context_length=base.context_length,
            digest=named.digest,
            file=str(named.base),
            capabilities=frozenset({"completion", "embedding"} if base.has_chat_template else {"embedding"}),
            layout=base.layout,
        )

    async def _as(self, path: Path, model: str, kind: Literal["model", "adapter"]) -> Examined:
        try:
            examined = await self.examine(path)
        except WorldError as error:
            step = error.next_step if isinstance(error, ModelFileBad) else "see that the file can be read"
            raise EngineRefused(
                f"{model} cannot be used: {error.message.replace(str(path), 'its file')}", next_step=step
            ) from error
        if examined.kind != kind:
            raise EngineRefused(
                f"{model} cannot be used: {path.name} is not {_SAID[kind]} but {_SAID.get(examined.kind, examined.kind)}",
                next_step=f"name {_SAID[kind]}",
            )
        return examined

    async def _is_base(self, path: Path) -> bool:
        try:
            return (await self.examine(path)).kind == "model"
        except ModelUnexamined:
            return True
        except WorldError:
            return False

    async def examine(self, path: Path) -> Examined:
        """The header, from memory for a file that did not change. Raises as the examiner does."""
        key = path, version(path)
        if key not in self._examined:
            self._examined[key] = await examine(path)
        return self._examined[key]


def version(path: Path) -> Version:
    """What changes when a file is replaced or written to; zeros where it is gone."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0, 0
    return about.st_ino, about.st_size, about.st_mtime_ns
