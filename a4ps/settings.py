"""Settings: defaults, overridden by `a4ps.toml` in the home, overridden by `A4PS_*` variables, validated once.

`load` also says where each value came from, for `a4ps config`. Every key of the file is a field below; an unknown or
ill-typed one is refused with file, line and key, never ignored.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from a4ps.errors import SettingsError

PersonaName = Literal["ALFRED", "BRICK", "ROBIN", "BABS"]
#: The kinds of action that a policy can be set for; what each is, governance/ways_out.py says.
ActionName = Literal[
    "tool-use", "tool-in-process", "tool-forge", "tool-keep", "tool-mend", "file-write", "turn-restart"
]
PolicyName = Literal["always", "ask", "never"]
PREFIX = "A4PS_"
#: `A4PS_` variables that are no settings: the home is found before settings are read; the other belongs to tests.
NOT_SETTINGS = frozenset({"A4PS_HOME", "A4PS_LONG"})


def _said(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "it must not be empty")
    return text


Name = Annotated[str, AfterValidator(_said)]


class Settings(BaseModel):
    """All settings with their defaults. Units are in the names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    engine: Literal["auto", "ollama", "llamacpp", "rehearsal"] = Field(
        "auto", description="auto: Ollama where it runs, else llama.cpp where model files are, else rehearsal"
    )
    ollama_host: Name = Field("127.0.0.1:11434", description="where Ollama listens; OLLAMA_HOST is honoured too")
    profile: Literal["fast", "duo", "four"] = Field("fast", description="which set of models the personas speak with")
    models: dict[PersonaName, Name] = Field(
        default_factory=dict, description="a model for one persona, over the profile"
    )
    think: frozenset[PersonaName] = Field(
        frozenset(), strict=False, description="personas that may think before they speak"
    )
    embedder: Name = Field(
        "auto",
        description="what embeds memories: auto (the catalog's, where it is installed), a file of the models folder, "
        "ollama:MODEL, or lexical (none: full text alone)",
    )
    hub: Name = Field("https://huggingface.co", description="where model files named hf:OWNER/REPO/FILE are fetched")
    residency: Literal["swap-aware", "sequential"] = Field(
        "swap-aware", description="swap-aware keeps in memory what fits; sequential unloads after every call"
    )
    memory_mb: int = Field(0, ge=0, le=16_777_216, description="memory for models; 0: what is free now less 10 %")
    num_ctx: int = Field(8192, ge=1024, le=1_048_576, description="context asked of the model, in tokens")
    reply_tokens: int = Field(400, ge=16, le=32_768, description="longest contribution, in tokens")
    think_tokens: int = Field(1024, ge=16, le=131_072, description="longest hidden thought, in tokens")
    turn_budget_s: float = Field(120.0, gt=0, le=86_400, description="time for one turn; extras are dropped to keep it")
    rounds_max: int = Field(2, ge=1, le=8, description="most thesis and antithesis passes in a turn")
    converged_below: float = Field(0.5, ge=0, le=1, description="dissonance under which no further round is held")
    recall_limit: int = Field(3, ge=0, le=20, description="most earlier turns that enter a prompt")
    recall_floor: float = Field(0.34, ge=0, le=1, description="relevance under which an earlier turn is not recalled")
    vector_floor: float = Field(
        0.25, ge=0, le=1, description="relevance by vectors alone under which a memory is not recalled"
    )
    vector_recall: float = Field(
        0.95, ge=0.5, le=0.99, description="share of the true neighbours that a search by vectors shall find"
    )
    vector_index: Literal["IVF_SQ", "IVF_PQ", "IVF_RQ"] = Field(
        "IVF_SQ", description="how LanceDB indexes more than 10,000 vectors; PQ and RQ are smaller and slower"
    )
    sleep_after_s: float = Field(
        600.0, ge=0, le=604_800, description="quiet after which memory is consolidated in a chat; 0: never"
    )
    drift_every_days: float = Field(
        7.0, ge=0, le=36_500, description="days between two measurements of drift in a chat that is left alone; 0: none"
    )
    sandbox: Literal["auto", "runsc", "bubblewrap", "docker"] = Field(
        "auto", description="where code of models runs; auto: gVisor's runsc, else bubblewrap, else nowhere"
    )
    policies: dict[ActionName, PolicyName] = Field(
        default_factory=dict,
        description=f"always, ask or never for a kind of action, over its default: {', '.join(get_args(ActionName))}",
    )
    approval_hours: float = Field(72.0, gt=0, le=8_760, description="time for an approval; then it counts as denied")
    console_s: float = Field(60.0, gt=0, le=86_400, description="time for one entry of the console")
    listen: Annotated[str, Field(pattern=r"^(tcp://[^\s:]+:\d{1,5})?$")] = Field(
        "",
        description="tcp://HOST:PORT: the backend listens there too (events at the next port), to clients with known keys",
    )
    backend: Annotated[str, Field(pattern=r"^(tcp://[^\s:]+:\d{1,5})?$")] = Field(
        "", description="tcp://HOST:PORT: commands use the backend that listens there; none is started here"
    )
    connect_s: float = Field(2.0, gt=0, le=60, description="time for an engine to accept a connection")
    first_byte_s: float = Field(180.0, gt=0, le=3600, description="time for an engine to load a model and begin")
    between_tokens_s: float = Field(60.0, gt=0, le=3600, description="longest silence in mid-reply")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and, for each field, where its value came from: "default", "a4ps.toml:LINE" or "A4PS_NAME"."""

    settings: Settings
    origins: Mapping[str, str]
    ignored: tuple[str, ...]


def load(file: Path, environ: Mapping[str, str]) -> Loaded:
    """Read `file` (may be absent) and `environ`. Raises `SettingsError`."""
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    text = _read(file)
    values.update(_parse(file, text))
    origins.update(_origins(file, text, values))
    if "OLLAMA_HOST" in environ and environ["OLLAMA_HOST"].strip():
        values["ollama_host"] = environ["OLLAMA_HOST"].strip()
        origins["ollama_host"] = "OLLAMA_HOST"
    ignored: list[str] = []
    for name, raw in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in NOT_SETTINGS:
            continue
        key = name.removeprefix(PREFIX).lower()
        if key not in Settings.model_fields:
            ignored.append(name)
            continue
        values[key] = _from_text(key, raw, name)
        origins[key] = name
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise _explain(error, file, text, origins) from error
    return Loaded(settings, origins, tuple(ignored))


def mark_of(settings: Settings) -> str:
    """What tells whether two processes run with the same settings."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]


def write(file: Path, key: str, raw: str) -> None:
    """Set one key of `file`, keeping its comments and order. Validated as a whole before anything is written.

    A symbolic link stays one: what it leads to is replaced, by a rename, so that no reader sees half of it.
    """
    import tomlkit  # only this command needs it

    if key not in Settings.model_fields:
        raise _unknown(key, f"{file.name}")
    before = _read(file)
    origins = {**_origins(file, before, _parse(file, before)), key: "the new value"}
    document = tomlkit.parse(before)
    document[key] = _from_text(key, raw, "the new value")
    text = tomlkit.dumps(document)
    try:
        Settings.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise _explain(error, file, before, origins) from error
    try:
        target = file.resolve()
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = target.with_name(f"{target.name}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(target)
    except UnicodeEncodeError as error:
        raise SettingsError(f"the new value: {key}: {raw!r} is not valid Unicode") from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}", next_step=f"ls -ld {file.parent}") from error


def _from_text(key: str, raw: str, where: str) -> Any:
    """A value given as one word: lists as `A,B`, tables as `KEY=VALUE,KEY=VALUE`. `where` is where it was given."""
    if key == "think":
        return [part.strip() for part in raw.split(",") if part.strip()]
    if key in ("models", "policies"):
        pairs = [part.split("=", 1) for part in raw.split(",") if part.strip()]
        if any(len(pair) != 2 for pair in pairs):
            form = "PERSONA=MODEL" if key == "models" else "KIND=POLICY"
            raise SettingsError(f"{where}: {key}: expected {form},{form}, not {raw!r}")
        return {name.strip(): value.strip() for name, value in pairs}
    annotation = Settings.model_fields[key].annotation
    try:
        return annotation(raw) if annotation in (int, float) else raw
    except ValueError:
        return raw  # pydantic's own message names the key and what was expected


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is not UTF-8 text (byte {error.start})", next_step=f"edit {file}") from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}", next_step=f"ls -l {file}") from error


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line (\d+)", str(error))
        lines = text.split("\n")
        line = int(where[1]) if where else len(lines)
        key = lines[line - 1].split("=", 1)[0].strip() or "(end of file)"
        reason = re.sub(r" \(at .*\)$", "", str(error))
        raise SettingsError(f"{file}, line {line}, key {key}: {reason}", next_step=f"edit {file}") from error
    except (ValueError, RecursionError) as error:
        # Python's own limits on digits and nesting, which tomllib lets through.
        raise SettingsError(
            f"{file}: a number is too long or a value nested too deeply", next_step=f"edit {file}"
        ) from error
    for key in parsed:
        if key not in Settings.model_fields:
            raise _unknown(key, f"{file}, line {_line_of(text, key)}")
    return parsed


def _origins(file: Path, text: str, keys: Iterable[str]) -> dict[str, str]:
    return {key: f"{file.name}:{_line_of(text, key)}" for key in keys}


def _unknown(key: str, where: str) -> SettingsError:
    close = difflib.get_close_matches(key, Settings.model_fields, n=1)
    hint = f"did you mean {close[0]}?" if close else "a4ps config lists every key"
    return SettingsError(f"{where}: there is no setting {key}", next_step=hint)


def _explain(error: ValidationError, file: Path, text: str, origins: Mapping[str, str]) -> SettingsError:
    first = error.errors()[0]
    key = str(first["loc"][0])
    inner = ".".join(str(part) for part in first["loc"])
    origin = origins.get(key, "default")
    where = f"{file}, line {_line_of(text, key)}" if origin.startswith(file.name) else origin
    step = f"edit {file}" if origin.startswith(file.name) else "a4ps config shows every key and its origin"
    fault = first["msg"][:1].lower() + first["msg"][1:]
    return SettingsError(f"{where}: {inner}: {fault} (got {first['input']!r})", next_step=step)


def _line_of(text: str, key: str) -> int:
    """The 1-based line on which a top-level key or table of that name begins; 0 where it cannot be told."""
    pattern = re.compile(rf"^\s*(\[{{1,2}}\s*)?[\"']?{re.escape(key)}[\"']?\s*[\]=.]")
    return next((number for number, line in enumerate(text.split("\n"), 1) if pattern.match(line)), 0)
