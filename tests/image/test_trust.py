"""Promotions in an image: of one text, durable, the image's own, and never brought along by what is imported."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from a4ps.clock import ManualClock
from a4ps.errors import (
    CallerError,
    Conflict,
    ImageTooNew,
    IntegrityError,
    MethodRefused,
    PromotionRefused,
    StorageFailed,
)
from a4ps.governance.trust import Level, digest_of
from a4ps.image.handle import Handle
from a4ps.image.keys import KeyFolder
from a4ps.image.methods import Method, MethodCall, MethodResult
from a4ps.image.promotions import unpack_trust
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.rows import Row
from a4ps.image.store import Store
from a4ps.image.text_export import content_hash

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
ONE = "def f(self):\n    'One.'\n    return 1\n"
DIGEST = digest_of(ONE)


class Runner:
    """A sandbox that only notes what it was asked."""

    def __init__(self) -> None:
        self.calls: list[MethodCall] = []

    def run(self, call: MethodCall) -> MethodResult:
        self.calls.append(call)
        return MethodResult("sandboxed", {})


def opened(folder: Path, name: str = "image.a4ps", clock: ManualClock | None = None) -> ProtoManager:
    return ProtoManager.open(folder / name, keys=KeyFolder(folder / "keys"), clock=clock)


@pytest.fixture
def manager(tmp_path: Path, clock: ManualClock) -> Iterator[ProtoManager]:
    with opened(tmp_path, clock=clock) as manager:
        yield manager


@pytest.fixture
def brick(manager: ProtoManager) -> Handle:
    """With a method that a model wrote."""
    brick = manager.register_proto(Proto("BRICK", CODEX))
    brick.define("f", ONE, author="ROBIN")
    return brick


def refused(call: Callable[[], object]) -> None:
    with pytest.raises(MethodRefused, match="sandbox"):
        call()


# One text


def test_a_promoted_text_of_a_model_runs_in_this_process(manager: ProtoManager, brick: Handle) -> None:
    """I5: after the Architect's recorded promotion of that very text, and not before."""
    refused(brick.f)
    trust = manager.promote(brick.f, "in-process", reason="read it")
    assert brick.f() == brick.clone().f() == manager.pin()["BRICK"].f() == 1
    assert (trust.digest, trust.level, trust.by, trust.reason) == (DIGEST, Level.IN_PROCESS, "architect", "read it")
    assert (trust.text_author, trust.at) == ("ROBIN", manager.store.clock.now())
    assert manager.trust_of(DIGEST) == trust


@pytest.mark.parametrize("other", [ONE + "\n", ONE.replace("1", "2"), ONE.replace("'One.'", "'One. '"), ONE[:-1]])
def test_a_text_that_differs_by_a_byte_is_another(manager: ProtoManager, brick: Handle, other: str) -> None:
    """I5."""
    manager.promote(brick.f, "in-process")
    brick.define("f", other, author="ROBIN")
    refused(brick.f)
    brick.define("f", ONE, author="BABS")
    assert brick.f() == 1


def test_a_method_can_be_named_by_its_text_its_call_or_its_digest(manager: ProtoManager, brick: Handle) -> None:
    by: tuple[Any, ...] = (brick.methods["f"], brick.f, DIGEST, brick.clone().f)
    for each in by:
        manager.promote(each, "in-process")
        assert brick.f() == 1
        manager.promote(each, "sandboxed")
        refused(brick.f)


def test_one_command_withdraws_a_promotion(manager: ProtoManager, brick: Handle) -> None:
    """I10: for pins and open transactions too, and also where the text is in no Proto any more."""
    manager.promote(brick.f, "in-process")
    pin = manager.pin()
    with manager.transaction() as tx:
        draft = tx.edit("BRICK")
        assert draft.f() == 1
        manager.promote(DIGEST, "sandboxed", reason="no longer")
        for call in (draft.f, brick.f, pin["BRICK"].f):
            refused(call)
    manager.promote(brick.f, "in-process")
    brick.forget("f")
    manager.promote(DIGEST, "sandboxed", reason="gone as well")
    refused(pin["BRICK"].f)
    assert [(trust.level, trust.reason) for trust in manager.promotions()] == [
        ("in-process", ""),
        ("sandboxed", "no longer"),
        ("in-process", ""),
        ("sandboxed", "gone as well"),
    ]


def test_granted_goes_to_the_sandbox_with_its_folders(manager: ProtoManager, brick: Handle, tmp_path: Path) -> None:
    runner = Runner()
    manager.bind_code_runner(runner)
    brick.f()
    manager.promote(brick.f, "granted", folders=[tmp_path, "/data", "/data"])
    assert brick.f() == "sandboxed"
    manager.promote(brick.f, "in-process")
    assert brick.f() == 1
    assert [call.folders for call in runner.calls] == [(), (str(tmp_path), "/data")]
    manager.bind_code_runner(None)
    manager.promote(brick.f, "granted", folders=["/data"])
    refused(brick.f)


def test_texts_of_the_architect_and_the_package_need_no_promotion_and_take_none(manager: ProtoManager) -> None:
    brick = manager.register_proto(Proto("BRICK", CODEX))
    for author in ("architect", "package"):
        brick.define("f", ONE, author=author)
        assert brick.f() == 1
        for level in ("in-process", "sandboxed"):
            with pytest.raises(PromotionRefused, match="unpromoted"):
                manager.promote(brick.f, level)
            with pytest.raises(PromotionRefused, match="unpromoted"):
                manager.promote(DIGEST, level)
    assert manager.promotions() == []


def test_a_text_that_both_wrote_is_promoted_as_the_models(manager: ProtoManager, brick: Handle) -> None:
    brick.define("own", ONE.replace("f(", "own(") + "def f(self): pass\n")
    brick.define("f", brick.own.source, author="ROBIN")
    assert manager.promote(brick.own.method.digest, "in-process").text_author == "ROBIN"
    manager.promote(brick.own, "sandboxed")
    assert brick.own() == 1
    refused(brick.f)


# Who, and what


@pytest.mark.parametrize("author", ["ALFRED", "package", "ROBIN", ""])
@pytest.mark.parametrize("level", ["in-process", "sandboxed"])
def test_nobody_else_promotes(manager: ProtoManager, brick: Handle, author: str, level: str) -> None:
    """I10: a refusal leaves memory and disk as they were."""
    generation = manager.store.generation
    with pytest.raises(PromotionRefused, match="cannot promote"):
        manager.promote(brick.f, level, author=author)
    assert (manager.trust_of(DIGEST), manager.store.generation) == (None, generation)
    refused(brick.f)


def test_what_cannot_be_is_refused(manager: ProtoManager, brick: Handle) -> None:
    for text, level, folders in (
        (DIGEST, "trusted", []),
        (DIGEST, "in-process", ["/data"]),
        (DIGEST, "granted", []),
        (DIGEST, "granted", ["data"]),
        (digest_of("unknown"), "in-process", []),
        ("BRICK.f", "in-process", []),
    ):
        with pytest.raises(PromotionRefused):
            manager.promote(text, level, folders=folders)
    assert manager.promotions() == []


def test_a_text_that_is_in_no_proto_can_be_promoted_by_itself(manager: ProtoManager, brick: Handle) -> None:
    """A tool's, say."""
    tool = Method("g", "def g(self): return 2", "BABS")
    assert manager.promote(tool, "in-process").text_author == "BABS"
    brick.define("g", tool.source, author="BABS")
    assert brick.g() == 2


def test_where_a_text_runs_is_shown(manager: ProtoManager, brick: Handle) -> None:
    brick.define("own", "def own(self): pass")
    for promote, shown in (
        (lambda: None, "sandboxed"),
        (lambda: manager.promote(DIGEST, "granted", folders=["/data"]), "granted /data"),
        (lambda: manager.promote(DIGEST, "in-process"), "in-process"),
    ):
        promote()
        for proto in (brick, brick.clone()):
            assert repr(proto.f) == f"<method f() by ROBIN, {shown}>"
            assert f"Method f() ({shown}): One." in proto.get_self_description()
            assert repr(proto.own) == "<method own() by architect>"
            assert "Method own()\n" in proto.get_self_description()


# Durable


def test_promotions_survive_a_restart_with_their_history(tmp_path: Path, clock: ManualClock) -> None:
    with opened(tmp_path, clock=clock) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX))
        brick.define("f", ONE, author="ROBIN")
        brick.define("g", ONE + "def g(self): pass\n", author="ROBIN")
        manager.promote(brick.f, "granted", folders=["/data"], reason="gelesen – 読んだ")
        clock.advance(60)
        manager.promote(brick.g, "in-process")
        manager.promote(brick.f, "in-process")
        manager.promote(brick.g, "sandboxed")
        told = manager.promotions()
        in_force = manager.trusts
    with opened(tmp_path) as manager:
        assert manager.promotions() == told
        assert manager.trusts == in_force
        assert [trust.level for trust in told] == ["granted", "in-process", "in-process", "sandboxed"]
        assert manager.get_proto("BRICK").f() == 1
        refused(manager.get_proto("BRICK").g)
        assert manager.verify(deep=True).ok


@pytest.mark.parametrize("level", ["in-process", "sandboxed"])
def test_a_promotion_that_did_not_become_durable_is_not_in_force(
    manager: ProtoManager, brick: Handle, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4."""
    if level == "sandboxed":
        manager.promote(brick.f, "in-process")
    before = dict(manager.trusts)

    def fail(*_args: object, **_named: object) -> None:
        raise StorageFailed("the disk is gone")

    monkeypatch.setattr(Store, "commit", fail)
    with pytest.raises(StorageFailed):
        manager.promote(brick.f, level)
    assert manager.trusts == before


def test_it_is_in_force_only_when_it_is_durable(
    manager: ProtoManager, brick: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Store.commit
    seen: list[object] = []

    def watched(self: Store, *args: Any, **named: Any) -> object:
        seen.append(manager.trust_of(DIGEST))
        done = commit(self, *args, **named)
        seen.append(manager.trust_of(DIGEST))
        return done

    monkeypatch.setattr(Store, "commit", watched)
    manager.promote(brick.f, "in-process")
    assert seen == [None, None]
    assert manager.trust_of(DIGEST) is not None


def test_what_cannot_be_read_back_is_not_in_force(
    manager: ProtoManager, brick: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doubt ends in the sandbox."""
    manager.promote(brick.f, "in-process")

    def fail(*_args: object, **_named: object) -> None:
        raise IntegrityError("not what was stored")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "newest", fail)
        with pytest.raises(IntegrityError):
            manager.promote(brick.f, "granted", folders=["/data"])
    refused(brick.f)
    manager.promote(brick.f, "in-process")
    assert brick.f() == 1


def test_promotions_of_several_threads_end_as_the_log_has_them(manager: ProtoManager, brick: Handle) -> None:
    barrier = threading.Barrier(4)
    other = Method("g", "def g(self): pass", "ROBIN")

    def work(at: int) -> None:
        barrier.wait(30)
        for each in range(6):
            manager.promote(other if at == 3 else DIGEST, "in-process" if (at + each) % 2 else "sandboxed")

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    told = manager.promotions()
    assert len(told) == 24
    assert manager.trusts == {trust.digest: trust for trust in told}


# Another image


def test_promotions_of_one_image_are_none_of_another(manager: ProtoManager, brick: Handle, tmp_path: Path) -> None:
    """In the same process, with the same keys and the same text."""
    with opened(tmp_path, "other.a4ps") as other:
        theirs = other.register_proto(Proto("BRICK", CODEX))
        theirs.define("f", ONE, author="ROBIN")
        manager.promote(brick.f, "in-process")
        assert brick.f() == 1
        refused(theirs.f)
        other.atomic_swap(brick.clone().renamed("GUEST"))
        refused(other.get_proto("GUEST").f)
        assert other.trusts == {}
    with opened(tmp_path, "other.a4ps") as other:
        refused(other.get_proto("GUEST").f)


def test_the_file_that_our_key_signed_carries_trust_and_brings_it_back(
    manager: ProtoManager, brick: Handle, tmp_path: Path, clock: ManualClock
) -> None:
    trust = manager.promote(brick.f, "in-process")
    manager.save_image(tmp_path / "saved")
    clock.advance(60)
    manager.promote(brick.f, "sandboxed")
    with opened(tmp_path, "other.a4ps", clock) as other:
        other.load(tmp_path / "saved")
        assert other.get_proto("BRICK").f() == 1
        assert other.trust_of(DIGEST) == trust
    with opened(tmp_path, "other.a4ps") as other:
        assert other.get_proto("BRICK").f() == 1
    manager.load(tmp_path / "saved")
    assert brick.f() == 1
    assert manager.trust_of(DIGEST) == trust
    manager.promote(DIGEST, "sandboxed")
    refused(brick.f)


def test_loading_ends_the_promotions_that_the_file_does_not_have(
    manager: ProtoManager, brick: Handle, tmp_path: Path
) -> None:
    manager.save_image(tmp_path / "saved")
    manager.promote(brick.f, "in-process")
    manager.load(tmp_path / "saved")
    refused(brick.f)
    assert manager.trusts == {}
    assert [trust.level for trust in manager.promotions()] == ["in-process"]


def test_only_the_architect_loads_what_has_promotions(manager: ProtoManager, brick: Handle, tmp_path: Path) -> None:
    manager.promote(brick.f, "in-process")
    manager.save_image(tmp_path / "saved")
    manager.promote(brick.f, "sandboxed")
    with pytest.raises(PromotionRefused, match="ALFRED"):
        manager.load(tmp_path / "saved", author="ALFRED")
    refused(brick.f)
    manager.save_image(tmp_path / "withdrawn")
    manager.load(tmp_path / "withdrawn", author="ALFRED")
    refused(brick.f)


def test_a_load_that_is_refused_leaves_trust_as_it_was(
    manager: ProtoManager, brick: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.save_image(tmp_path / "saved")
    manager.promote(brick.f, "in-process")
    backup = ProtoManager.backup

    def meanwhile(self: ProtoManager, path: Path) -> object:
        done = backup(self, path)
        manager.register_proto(Proto("MEANWHILE", CODEX))
        return done

    monkeypatch.setattr(ProtoManager, "backup", meanwhile)
    with pytest.raises(Conflict):
        manager.load(tmp_path / "saved")
    assert brick.f() == 1


# A stranger


def test_a_text_export_neither_has_nor_brings_trust(manager: ProtoManager, brick: Handle, tmp_path: Path) -> None:
    """I5: not even into the image that it came from, where the text was promoted."""
    manager.promote(brick.f, "in-process")
    told = content_hash(manager.content())
    manager.export_text(tmp_path / "export")
    assert not (tmp_path / "export" / "records.jsonl").exists()
    with opened(tmp_path, "other.a4ps") as other:
        other.import_text(tmp_path / "export")
        assert content_hash(other.content()) == told
        refused(other.get_proto("BRICK").f)
    manager.import_text(tmp_path / "export")
    refused(brick.f)
    assert manager.trusts == {}
    assert brick.methods["f"].author == "import:ROBIN"
    manager.promote(brick.f, "in-process")
    assert brick.f() == 1


@pytest.mark.parametrize("kind", ["trust", "trust-gone"])
def test_trust_that_was_planted_in_an_export_is_refused(
    manager: ProtoManager, brick: Handle, tmp_path: Path, kind: str
) -> None:
    """I5: and then nothing has changed."""
    manager.export_text(tmp_path / "export")
    fields = {"format": 1, "level": "in-process", "folders": [], "by": "architect", "reason": "", "text_author": "x"}
    line = {"kind": kind, "key": DIGEST, "at": "2026-11-22T12:00:00+00:00"}
    line["payload"] = {**fields, "at": line["at"]}  # type: ignore[assignment]
    for name in ("records.jsonl", "turns.jsonl"):
        planted = tmp_path / "export" / name
        planted.write_text(json.dumps(line) + "\n")
        generation = manager.store.generation
        with pytest.raises(CallerError):
            manager.import_text(tmp_path / "export")
        assert (manager.store.generation, manager.trusts) == (generation, {})
        planted.unlink()


def test_between_the_imported_protos_and_their_trust_no_text_is_trusted(
    manager: ProtoManager, brick: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I5: what is imported is never seen together with the promotions of what was there before."""
    manager.promote(brick.f, "in-process")
    manager.export_text(tmp_path / "export")
    commit = Store.commit
    seen: list[str] = []

    def watched(self: Store, *args: Any, **named: Any) -> object:
        done = commit(self, *args, **named)
        seen.append(brick.methods["f"].author)
        refused(brick.f)
        return done

    monkeypatch.setattr(Store, "commit", watched)
    manager.import_text(tmp_path / "export")
    assert seen == ["import:ROBIN"]


# What is on disk


@pytest.mark.parametrize(
    "changed",
    [{"level": "root"}, {"by": "ROBIN"}, {"folders": ["/x"]}, {"at": "2026-11-22"}, {"reason": ...}, {"folders": 1}],
)
def test_a_row_that_is_no_promotion_opens_no_door(changed: dict[str, Any]) -> None:
    at = "2026-11-22T12:00:00+00:00"
    fields: dict[str, Any] = {
        "format": 1,
        "level": "in-process",
        "folders": [],
        "by": "architect",
        "reason": "",
        "at": at,
    }
    fields["text_author"] = "ROBIN"
    assert unpack_trust(DIGEST, json.dumps(fields).encode()).level == "in-process"
    for name, value in changed.items():
        if value is ...:
            del fields[name]
        else:
            fields[name] = value
    with pytest.raises(IntegrityError, match="promotion"):
        unpack_trust(DIGEST, json.dumps(fields).encode())
    for payload in (b"", b"[]", b"1", b"\xff"):
        with pytest.raises(IntegrityError):
            unpack_trust(DIGEST, payload)


def test_a_promotion_of_a_newer_a4ps_is_not_guessed_at(tmp_path: Path) -> None:
    with opened(tmp_path) as manager:
        manager.store.commit([Row("trust", DIGEST, b'{"format":2}')], author="architect", reason="")
    with pytest.raises(ImageTooNew):
        opened(tmp_path)


def test_the_first_format_can_still_be_read() -> None:
    """The bytes of format 1, as they were written."""
    payload = (
        b'{"format":1,"level":"granted","folders":["/data"],"by":"architect","reason":"read it",'
        b'"at":"2026-11-22T12:00:00+00:00","text_author":"ROBIN"}'
    )
    trust = unpack_trust(DIGEST, payload)
    assert (trust.level, trust.folders, trust.reason, trust.text_author) == (
        Level.GRANTED,
        ("/data",),
        "read it",
        "ROBIN",
    )
    assert trust.at == ManualClock().now()


# Any sequence of steps

SOURCES = st.sampled_from([ONE, ONE + "\n", ONE.replace("1", "2")])


class TrustAgainstModel(RuleBasedStateMachine):
    """I5 and I10: where the current text runs is what the model says, after any promotions, restarts and takeovers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.levels: dict[str, str] = {}
        self.saved: tuple[str, str, dict[str, str]] | None = None
        self.manager = opened(self.folder, clock=self.clock)
        self.manager.register_proto(Proto("BRICK", CODEX))
        self.define(ONE, "ROBIN")

    def teardown(self) -> None:
        self.manager.close()
        shutil.rmtree(self.folder)

    @rule(source=SOURCES, author=st.sampled_from(["ROBIN", "BABS", "architect"]))
    def define(self, source: str, author: str) -> None:
        self.manager.get_proto("BRICK").define("f", source, author=author)
        self.source, self.author = source, author

    @rule(level=st.sampled_from(list(Level)), author=st.sampled_from(["architect", "architect", "ROBIN"]))
    def promote(self, level: Level, author: str) -> None:
        digest = digest_of(self.source)
        folders = ["/data"] if level is Level.GRANTED else []
        if author == "architect" and (self.author != "architect" or digest in self.levels):
            self.manager.promote(digest, level, folders=folders, author=author)
            self.levels[digest] = level
        else:
            with pytest.raises(PromotionRefused):
                self.manager.promote(digest, level, folders=folders, author=author)

    @rule()
    def restart(self) -> None:
        self.manager.close()
        self.manager = opened(self.folder, clock=self.clock)

    @rule()
    def save(self) -> None:
        self.manager.save_image(self.folder / "saved")
        self.saved = (self.source, self.author, dict(self.levels))

    @rule()
    def load(self) -> None:
        if self.saved is not None:
            self.clock.advance(1)
            self.manager.load(self.folder / "saved")
            self.source, self.author, levels = self.saved
            self.levels = dict(levels)

    @rule()
    def go_out_and_come_in_as_text(self) -> None:
        self.clock.advance(1)
        self.manager.export_text(self.folder / "export")
        self.manager.import_text(self.folder / "export")
        self.author = "import:" + self.author.removeprefix("import:")
        self.levels = {}

    @invariant()
    def it_runs_where_the_model_says(self) -> None:
        runner = Runner()
        self.manager.bind_code_runner(runner)
        value = self.manager.get_proto("BRICK").f()
        level = "in-process" if self.author == "architect" else self.levels.get(digest_of(self.source), "sandboxed")
        if level == "in-process":
            assert (value, runner.calls) == (2 if "2" in self.source else 1, [])
        else:
            assert value == "sandboxed"
            assert [call.folders for call in runner.calls] == [("/data",) if level == "granted" else ()]
        assert {digest: trust.level for digest, trust in self.manager.trusts.items()} == self.levels


TrustAgainstModel.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestTrustAgainstModel = pytest.mark.slow(TrustAgainstModel.TestCase)


def test_a_method_that_is_not_what_a_reader_sees_stays_out_of_the_process(manager: ProtoManager) -> None:
    """I5: neither by the method nor by its digest; a carriage return begins a line of Python."""
    hidden = "def f(self):\n    return 1  # fine\rimport os\n"
    brick = manager.register_proto(Proto("BRICK", CODEX))
    brick.define("f", hidden, author="ROBIN")
    for text in (brick.f, digest_of(hidden)):
        with pytest.raises(PromotionRefused, match="does not see"):
            manager.promote(text, "in-process")
    assert manager.promote(brick.f, "granted", folders=["/data"], writable=["/data"]).writable == ("/data",)
