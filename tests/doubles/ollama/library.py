"""The models that a test server has, and its blobs: made from uploads, aliased, copied, deleted, shown.

A model is a manifest over layers named by digests. `create` rewrites the file that it is given, so the digest of what is
stored is another than that of what was uploaded. What an upload is (a base, an adapter, an embedder, none of these) is
told from a few bytes of its head, as far as a test needs it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from tests.doubles.ollama.http import GO_BUFFER_BYTES

#: What an uploaded file is; "wrong adapter" is one for another architecture: accepted, and then it does not load.
Kind: TypeAlias = Literal["base", "adapter", "wrong adapter", "embedder", "garbage"]
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NAME = re.compile(r"[\w.:/-]+")
TEMPLATE = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
_PARAMETERS = (("stop", "<|im_start|>"), ("stop", "<|im_end|>"))
_AUTODETECTED = "using autodetected template chatml"
_FOLDER = "/srv/ollama/models/blobs"


@dataclass(frozen=True)
class Model:
    """A manifest. `weights` and `adapter` are digests of stored files; `loadable` False lets every load fail."""

    name: str
    weights: str
    adapter: str = ""
    template: str = TEMPLATE
    system: str = ""
    parameters: tuple[tuple[str, str], ...] = _PARAMETERS
    embeds: bool = False
    chats: bool = True
    loadable: bool = True
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def layers(self) -> list[str]:
        """Digests in the order in which `create` names them."""
        parts = [self.weights, f"template {self.template}" if self.template else "", self.adapter]
        parts += [f"system {self.system}" if self.system else "", f"{self.parameters}" if self.parameters else ""]
        return [part if DIGEST.fullmatch(part) else digest_of(part) for part in parts if part]

    @property
    def digest(self) -> str:
        return digest_of(" ".join(self.layers)).removeprefix("sha256:")

    @property
    def size_bytes(self) -> int:
        return 1_000_000 + int(self.weights[-6:], 16)


class CreateError(Exception):
    """Why a model was not made, in Ollama's words.

    `status` is 0 where a stream had begun; `whole` is the status where none was asked for.
    """

    def __init__(self, text: str, status: int = 0, *, whole: int = 500) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.whole = whole


def digest_of(text: str | bytes) -> str:
    return f"sha256:{hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()}"


def full(name: str) -> str:
    """A name as the server spells it in lists."""
    name = name.lower().removeprefix("registry.invalid/").removeprefix("library/")
    return name if ":" in name else f"{name}:latest"


def kind_of(raw: bytes) -> Kind:
    """What an upload is."""
    start = raw[:65536]
    if not raw.startswith(b"GGUF"):
        return "garbage"
    if b"adapter.type" in start:
        return "adapter"
    return "embedder" if b".pooling_type" in start else "base"


class Library:
    """Names, manifests, blobs. `rewritten` may fix under which digest `create` stores an upload."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.models: dict[str, Model] = {}
        self.blobs: dict[str, Kind] = {}
        self.rewritten: dict[str, str] = {}
        for name in names:
            self.add(name)

    def add(self, name: str, **fields: Any) -> Model:
        """A model as if it had been pulled."""
        model = Model(name=full(name), **({"weights": digest_of(f"weights of {full(name)}")} | fields))
        self.models[full(name)] = model
        self.blobs[model.weights] = "base"
        return model

    def find(self, name: str) -> Model | None:
        return self.models.get(full(name))

    def upload(self, digest: str, raw: bytes) -> Literal["there", "stored"]:
        """Raises `CreateError` for bytes that are not the digest's."""
        if digest in self.blobs:
            return "there"
        got = digest_of(raw)
        if got != digest:
            raise CreateError(f'digest mismatch, expected "{digest}", got "{got}"', 400)
        self.blobs[digest] = kind_of(raw)
        return "stored"

    def copy(self, source: str, destination: str) -> None:
        self.models[full(destination)] = replace(self.models[full(source)], name=full(destination))

    def create(self, body: Mapping[str, Any]) -> Iterator[str]:
        """Make a model; the reports on the way. Raises `CreateError`, before any report where its status is not 0."""
        name = str(body.get("model") or body.get("name") or "")
        files, adapters = list((body.get("files") or {}).values()), list((body.get("adapters") or {}).values())
        if len(adapters) > 1:
            raise CreateError("only one adapter is currently supported", 400)
        model = replace(self.models[full(body["from"])]) if body.get("from") else None
        layers: list[str] = [model.weights, digest_of(f"template {model.template}")] if model is not None else []
        for digest in (*files[:1], *adapters):
            yield "parsing GGUF"
            if digest not in self.blobs:
                where = f"{_FOLDER}/{digest.replace(':', '-')}"
                whole = 400 if digest in adapters else 500
                raise CreateError(f"open {where}: no such file or directory", whole=whole)
            if self.blobs[digest] == "garbage":
                raise CreateError("supplied file was not in GGUF format")
        for digest in (*files[:1], *adapters):
            kind = self.blobs[digest]
            if kind not in ("adapter", "wrong adapter"):
                # Also one that was given as an adapter: it takes the base's place.
                yield "verifying conversion"
                stored = self.rewritten.get(digest) or digest_of(f"rewritten {digest}")
                if body.get("quantize"):
                    stored = digest_of(f"{body['quantize']} of {digest}")
                made = Model(full(name), stored, embeds=kind == "embedder", chats=kind != "embedder")
                layers += [stored] if body.get("template") else [stored, _AUTODETECTED]
                model = made
            elif model is None:
                model = Model(full(name), digest, template="", parameters=(), chats=False)
                layers.append(digest)
            else:
                model = replace(model, adapter=digest, loadable=kind == "adapter")
                layers.append(digest)
        assert model is not None
        model = self._dressed(replace(model, name=full(name), modified=datetime.now(UTC)), body)
        named = {model.weights, model.adapter, *layers}
        if _AUTODETECTED in layers:
            named.add(digest_of(f"template {model.template}"))
        for layer in (*layers, *(layer for layer in model.layers if layer not in named)):
            yield layer if layer == _AUTODETECTED else self._layer(layer)
        yield "writing manifest"
        self.models[full(name)] = model
        yield "success"

    def _layer(self, digest: str) -> str:
        known = digest in self.blobs
        self.blobs.setdefault(digest, "base")
        return f"{'using existing' if known else 'creating new'} layer {digest}"

    @staticmethod
    def _dressed(model: Model, body: Mapping[str, Any]) -> Model:
        """`model` with what the body says about template, system and parameters."""
        template, system = body.get("template"), body.get("system")
        if isinstance(template, str):
            if template.count("{{") != template.count("}}"):
                raise CreateError("template error: template: :1: unclosed action")
            model = replace(model, template=template)
        if isinstance(system, str):
            model = replace(model, system=system)
        given = tuple((key, str(value)) for key, value in (body.get("parameters") or {}).items())
        return replace(model, parameters=(*model.parameters, *given))

    def show(self, model: Model, capabilities: list[str], train_ctx: int, *, native: bool) -> dict[str, Any]:
        """What /api/show tells. `native`: a template that Ollama does not know, so it brings no parameters of its own."""
        told: dict[str, Any] = {"modelfile": f"FROM {_FOLDER}/{model.weights}\n# " + "-" * GO_BUFFER_BYTES}
        if model.parameters and not native:
            told["parameters"] = "\n".join(f'{key:<30} "{value}"' for key, value in model.parameters)
        told |= {"template": model.template} | ({"system": model.system} if model.system else {})
        return told | {
            "details": details(),
            "model_info": {
                "general.architecture": "qwen3", "general.parameter_count": 2_361_536, "general.file_type": 1,
                "qwen3.attention.head_count": 3, "qwen3.attention.head_count_kv": 1, "qwen3.attention.key_length": 64,
                "qwen3.attention.value_length": 64, "qwen3.block_count": 4, "qwen3.context_length": train_ctx,
                "qwen3.embedding_length": 192, "qwen3.vocab_size": 2048,
                "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": None,
            },
            "tensors": [{"name": "token_embd.weight", "type": "F16", "shape": [192, 2048]}],
            "capabilities": capabilities,
            "modified_at": stamp(model.modified),
        }  # fmt: skip


def details() -> dict[str, Any]:
    return {
        "parent_model": "", "format": "gguf", "family": "qwen3", "families": ["qwen3"],
        "parameter_size": "2.36M", "quantization_level": "F16",
    }  # fmt: skip


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"
