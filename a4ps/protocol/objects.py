"""The objects that `--json` prints, as types: docs/cli.md shows their schemas, and tests hold the commands to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class ContributionObject(TypedDict):
    persona: str
    role: str
    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    ms: float
    character: float | None
    shares: dict[str, int] | None
    taint: list[str]


class MemoryObject(TypedDict):
    id: str
    text: str
    score: float
    source: str


class StanceObject(TypedDict):
    point: int
    stance: str
    weight: float


class RoundObject(TypedDict):
    dissonance: float
    estimated: bool
    stances: list[StanceObject]


class MindObject(TypedDict):
    persona: str
    by: str
    round: int
    point: str
    before: str
    after: str


class ComparedObject(TypedDict):
    turn_id: str
    answer: str
    likeness: float
    dissonance: list[float | None]
    rounds: list[int]
    personas_changed: dict[str, list[int | None]]
    models_changed: dict[str, list[str]]


class AskObject(TypedDict):
    turn_id: str
    question: str
    asked_at: str
    answer: str
    alone: bool
    contributions: list[ContributionObject]
    dissonance: float | None
    dissonance_estimated: bool
    rounds: int
    rounds_ended: Literal["", "converged", "bound", "time", "word"]
    argued: list[RoundObject]
    minds_changed: list[MindObject]
    engine: str
    model_ms: float
    overhead_ms: float
    memories_used: list[MemoryObject]
    dropped: list[str]
    notes: list[str]
    taint: list[str]
    compared: NotRequired[ComparedObject]


class LatestTurnObject(TypedDict):
    turn_id: str
    question: str
    asked_at: str


class LatestObject(TypedDict):
    count: int
    turns: list[LatestTurnObject]


class CutOffObject(TypedDict):
    engine: str
    notice: str
    turns: list[CutOffTurnObject]


class CutOffTurnObject(LatestTurnObject):
    engine: str


class RowObject(TypedDict):
    kind: str
    key: str


class DurableObject(TypedDict):
    sequence: int
    at: str
    author: str
    rows: list[RowObject]


class EventsObject(TypedDict):
    epoch: str
    sequence: int
    events: list[DurableObject]


class SnapshotObject(TypedDict):
    epoch: str
    sequence: int
    heads: dict[str, dict[str, int]]


class DownObject(TypedDict):
    pid: int
    open_turns: int


class ImageStatusObject(TypedDict):
    path: str
    generation: int
    commits: int
    file_bytes: int
    wal_bytes: int
    read_only: str


class ResidentStatusObject(TypedDict):
    name: str
    size_bytes: int
    vram_bytes: int
    num_ctx: int


class EngineStatusObject(TypedDict):
    name: str
    budget_bytes: int | None
    residents: list[ResidentStatusObject]
    loads: int
    spills: int
    waiting: int
    tokens_in_flight: int
    pieces: int


class TurnsStatusObject(TypedDict):
    answered: int
    stopped: int
    open: int


class MemoryStatusObject(TypedDict):
    memories: int
    vectors: int
    left: int
    per_s: float
    embedder: str
    fault: str


class SandboxStatusObject(TypedDict):
    ready: int
    lent: int
    calls: int
    discarded: int
    failures: int


class EventsStatusObject(TypedDict):
    observers: int
    waiting: int
    lost: int


class ServiceStatusObject(TypedDict):
    owner: str
    state: Literal["waiting", "running", "backing off", "done", "stopped"]
    restarts: int
    last_error: str
    since: str


class SeriesStatusObject(TypedDict):
    last: float
    mean: float
    count: int
    points: list[tuple[float, float]]


class StatusObject(TypedDict):
    version: str
    protocol: int
    pid: int
    epoch: str
    since: str
    uptime_s: float
    fleeting: bool
    sessions: int
    running: int
    image: ImageStatusObject
    engine: EngineStatusObject
    turns: TurnsStatusObject
    memory: MemoryStatusObject
    sandbox: SandboxStatusObject
    events: EventsStatusObject
    services: dict[str, ServiceStatusObject]
    series: dict[str, SeriesStatusObject]


class StatusShownObject(TypedDict):
    up: bool
    backend: StatusObject | None


class EvaluatedObject(TypedDict):
    value: str
    proto: str
    output: str
    error: str
    change: int | None
    seconds: float
    cut: bool


class InterruptedObject(TypedDict):
    interrupted: bool


class CompletedObject(TypedDict):
    names: list[str]


class UpObject(TypedDict):
    ready: bool
    pid: int
    image: str


class VersionObject(TypedDict):
    change: int
    act: str
    author: str
    reason: str
    at: str
    evidence: Any


class VoiceObject(TypedDict):
    persona: str
    version: int | None
    change: VersionObject | None
    models: dict[str, str]
    steps: list[str]
    colour: float | None


class ToolCallObject(TypedDict):
    tool: str
    text: str
    ms: float
    version: int | None
    change: VersionObject | None


class PromptObject(TypedDict):
    persona: str
    step: str
    prompt_tokens: int
    shares: dict[str, int] | None
    character: float | None


class LoadObject(TypedDict):
    tokens: int
    fill: float
    queue: int


class WhyObject(TypedDict):
    turn_id: str
    question: str
    asked_at: str
    again: str
    answer: str
    engine: str
    memories: list[MemoryObject]
    personas: list[VoiceObject]
    tool_calls: list[ToolCallObject]
    argued: list[RoundObject]
    rounds_ended: Literal["", "converged", "bound", "time", "word"]
    minds_changed: list[MindObject]
    prompts: list[PromptObject]
    load: LoadObject | None
    dropped: list[str]
    notes: list[str]
    taint: list[str]


class PointObject(TypedDict):
    at: str
    mean: float
    low: float
    high: float
    count: int


class SeriesObject(TypedDict):
    series: dict[str, list[PointObject]]


class ProbeObject(TypedDict):
    persona: str
    question: str
    answer: str
    character: float | None
    judged: float | None
    remark: str


class DriftFigureObject(TypedDict):
    now: float
    before: float | None
    first: float | None


class DriftObject(TypedDict):
    probe_set: int
    figures: dict[str, DriftFigureObject]
    probes: list[ProbeObject]


class CheckObject(TypedDict):
    name: str
    verdict: Literal["ok", "note", "bad"]
    detail: str
    mend: str


class DoctorObject(TypedDict):
    healthy: bool
    checks: list[CheckObject]
    system_packages_missing: list[str]


class SettingObject(TypedDict):
    value: Any
    origin: str


class ConfigObject(TypedDict):
    settings: dict[str, SettingObject]
    file: str
    ignored: list[str]


class SetObject(TypedDict):
    key: str
    value: Any
    origin: str


class InstalledObject(TypedDict):
    name: str
    size_bytes: int
    digest: str


class ProfileObject(TypedDict):
    models: dict[str, str]
    size_gb: float


class ModelsObject(TypedDict):
    profile: str
    engine: str
    engine_reachable: bool
    personas: dict[str, str]
    installed: list[InstalledObject]
    profiles: dict[str, ProfileObject]


class PulledObject(TypedDict):
    pulled: list[str]


class UsedObject(TypedDict):
    persona: str
    model: str
    before: str
    change: int | None


class ResidentObject(TypedDict):
    name: str
    size_bytes: int
    vram_bytes: int
    num_ctx: int


class OccupancyObject(TypedDict):
    engine: str
    budget_bytes: int | None
    residents: list[ResidentObject]


class ToolObject(TypedDict):
    name: str
    signature: str
    summary: str
    version: int
    author: str
    level: Literal["sandboxed", "granted", "in-process"]
    calls: int
    failures: int
    ms: float
    folders: list[str]
    writable: list[str]


class ToolsObject(TypedDict):
    tools: list[ToolObject]
    unreadable: list[str]


class ErrorCaseObject(TypedDict):
    exception: str
    when: str


class ToolTestObject(TypedDict):
    text: str
    origin: Literal["example", "alfred", "use", "earlier"]
    held_out: bool


class EvidenceObject(TypedDict):
    attempts: int
    checks: int
    unseen: int
    generated: int
    tier: str
    writer: str
    tester: str
    notes: list[str]


class FailedCallObject(TypedDict):
    args: str
    why: str
    at: str


class WholeToolObject(ToolObject):
    contract: str
    errors: list[ErrorCaseObject]
    source: str
    hash: str
    tests: list[ToolTestObject]
    evidence: EvidenceObject
    task: str
    made_at: str
    verified: bool
    deterministic: bool
    failed: list[FailedCallObject]


class ToolReportObject(TypedDict):
    name: str
    verified: bool
    attempts: int
    failures: list[str]
    summary: str
    tool: WholeToolObject | None


class ToolRunObject(TypedDict):
    tool: str
    version: int
    result: Any
    ms: float
    tier: str


class ToolPromotedObject(TypedDict):
    tool: str
    version: int
    hash: str
    level: Literal["sandboxed", "granted", "in-process"]
    folders: list[str]
    writable: list[str]


class ToolRemovedObject(TypedDict):
    removed: str
    change: int


class DocumentObject(TypedDict):
    id: str
    path: str
    state: Literal["added", "replaced", "resumed", "unchanged"]
    parts: int
    new: int
    forgotten: int


class UnreadObject(TypedDict):
    path: str
    why: str


class MemoryAddedObject(TypedDict):
    memories: list[str]
    documents: list[DocumentObject]
    failed: list[UnreadObject]


class RememberedObject(TypedDict):
    memories: list[str]


class ReadInObject(TypedDict):
    documents: list[DocumentObject]
    failed: list[UnreadObject]


class EmbeddedObject(TypedDict):
    embeds: bool
    fault: str


class FoundObject(MemoryObject):
    taint: list[str]
    vouched: bool


class MemorySearchObject(TypedDict):
    results: list[FoundObject]


class MemoryVouchedObject(TypedDict):
    vouched: bool
    ids: list[str]


class VouchedObject(MemoryVouchedObject):
    texts: list[str]


class MemoryPinnedObject(TypedDict):
    id: str
    importance: float


class WholeMemoryObject(TypedDict):
    id: str
    text: str
    kind: str
    at: str
    origin: str
    persona: str
    turn: str
    importance: float
    taint: list[str]
    links: list[str]
    engine: str
    vouched: bool


class MemoriesObject(TypedDict):
    memories: list[WholeMemoryObject]
    kind: Literal["reply", "memory", ""]
    after: int


class MemoryExportedObject(TypedDict):
    file: str
    memories: int


class MemoryRebuiltObject(TypedDict):
    memories: int
    embedder: str
    vectors: int
    vectors_per_s: float
    method: Literal["none", "flat", "IVF_SQ", "IVF_PQ", "IVF_RQ"]
    probes: int
    recall: float | None
    fault: str


class FactObject(TypedDict):
    id: str
    text: str
    sources: list[str]


class MemorySleptObject(TypedDict):
    night: str
    undone: bool
    merged: dict[str, str]
    facts: list[FactObject]


class NightObject(MemorySleptObject):
    episodes: int
    made: int
    origins: list[str]


class ChangeObject(TypedDict):
    change: int
    base: int
    proto: str
    act: str
    author: str
    reason: str
    at: str
    evidence: Any
    inherited: bool
    forgotten: bool


class HistoryObject(TypedDict):
    changes: list[ChangeObject]


class DifferenceObject(TypedDict):
    proto: str
    part: Literal["codex", "parents", "slot", "method"]
    name: str
    before: str | None
    after: str | None


class DiffObject(TypedDict):
    change: int
    differences: list[DifferenceObject]


class RevertObject(TypedDict):
    reverted: int
    changes: list[ChangeObject]


class VerifyObject(TypedDict):
    ok: bool
    deep: bool
    generation: int
    commits: int
    rows: int
    faults: list[str]
    warnings: list[str]


class BackupObject(TypedDict):
    file: str
    generation: int
    commits: int
    rows: int


class RestoreObject(TypedDict):
    image: str
    generation: int
    commits: int
    rows: int
    kept: str | None


class WrittenObject(TypedDict):
    path: str
    protos: list[str]


class TakenOverObject(TypedDict):
    image: str
    protos: list[str]
    kept: str | None


class SalvagedObject(TypedDict):
    turns: int
    others: int
    rows: int
    rows_skipped: int
    lost: list[str]


class ImportedObject(TakenOverObject):
    salvaged: NotRequired[SalvagedObject]


class ActionObject(TypedDict):
    kind: Literal["tool-use", "tool-in-process", "tool-forge", "tool-keep", "tool-mend", "file-write", "turn-restart"]
    what: str
    text: str
    arguments: dict[str, str]
    destination: str
    size_bytes: int
    diff: str
    versions: dict[str, str]
    attempt: int
    hash: str


class ApprovalObject(TypedDict):
    id: str
    state: Literal["waiting", "approved", "denied", "replaced", "used", "expired"]
    turn_id: str
    action: ActionObject
    why: str
    claim: str
    asked_by: str
    taint: list[str]
    asked_at: str
    expires_at: str
    decided_at: str | None
    remember: bool
    replaces: str
    replaced_by: str


class ApprovalsObject(TypedDict):
    approvals: list[ApprovalObject]


class TextPlaceObject(TypedDict):
    holder: str
    where: str
    relation: Literal["holds", "derives", "named"]
    next: str


class ForgettingPlanObject(TypedDict):
    places: list[TextPlaceObject]


class ForgottenObject(TypedDict):
    forgotten: bool


class ForgetObject(TypedDict):
    forgotten: bool
    places: list[TextPlaceObject]


class RemovalObject(TypedDict):
    what: str
    path: str
    size_bytes: int


class KeptObject(TypedDict):
    path: str
    why: str
    size_bytes: int


class UninstallObject(TypedDict):
    done: bool
    removals: list[RemovalObject]
    kept: list[KeptObject]
    exported: str | None
    program: str


class ErrorDetail(TypedDict):
    kind: str
    message: str
    next: str
    log: str


class ErrorObject(TypedDict):
    error: ErrorDetail


#: Command → what it prints; "error" is what any of them prints when it fails.
OBJECTS: Mapping[str, type] = {
    "error": ErrorObject,
    "ask": AskObject,
    "why": WhyObject,
    "series": SeriesObject,
    "drift": DriftObject,
    "doctor": DoctorObject,
    "config show": ConfigObject,
    "config set": SetObject,
    "models list": ModelsObject,
    "models pull": PulledObject,
    "models use": UsedObject,
    "models ps": OccupancyObject,
    "approvals list": ApprovalsObject,
    "approvals show": ApprovalObject,
    "approvals approve": ApprovalObject,
    "approvals deny": ApprovalObject,
    "approvals edit": ApprovalObject,
    "tools list": ToolsObject,
    "tools forge": ToolReportObject,
    "tools mend": ToolReportObject,
    "tools run": ToolRunObject,
    "tools show": WholeToolObject,
    "tools promote": ToolPromotedObject,
    "tools remove": ToolRemovedObject,
    "memory add": MemoryAddedObject,
    "memory search": MemorySearchObject,
    "memory pin": MemoryPinnedObject,
    "memory vouch": MemoryVouchedObject,
    "memory export": MemoryExportedObject,
    "memory rebuild": MemoryRebuiltObject,
    "memory sleep": MemorySleptObject,
    "memory forget": ForgetObject,
    "image verify": VerifyObject,
    "image history": HistoryObject,
    "image diff": DiffObject,
    "image revert": RevertObject,
    "image backup": BackupObject,
    "image restore": RestoreObject,
    "image save": WrittenObject,
    "image load": TakenOverObject,
    "image export": WrittenObject,
    "image import": ImportedObject,
    "status": StatusShownObject,
    "down": DownObject,
    "up": UpObject,
    "events": DurableObject,
    "console": EvaluatedObject,
    "uninstall": UninstallObject,
}
