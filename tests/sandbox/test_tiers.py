"""A tier counts only if it was tried: one that does not start, does not isolate, or only looks like one is passed over."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from a4ps.errors import SandboxUnavailable, UsageError
from a4ps.sandbox import tiers
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.sandbox.limits import DEFAULT, Limits
from a4ps.sandbox.policy import COMMAND, Bind, Layout
from a4ps.sandbox.process import Launch, SandboxProcess, Tier
from a4ps.sandbox.runsc import Runsc, candidates
from tests.sandbox.tiers_here import ROOT, need


class Fake:
    """A command line that is called a sandbox."""

    version = "1"
    weaker = False
    hazard = ""

    def __init__(self, *argv: str) -> None:
        self.argv = argv
        self.name = "fake"

    def launch(self, limits: Limits, layout: Layout, folder: Path) -> Launch:
        return Launch(self.argv)


def search(monkeypatch: pytest.MonkeyPatch, *found: Tier) -> tiers.Found:
    monkeypatch.setattr(tiers, "_found", {})
    monkeypatch.setattr(tiers, "_candidates", lambda name: found)
    return tiers.find_tier()


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("/nonexistent/runsc",), "cannot be started"),
        (("/bin/false",), "does not start"),
        (("/bin/sh", "-c", "echo no permission >&2; exit 1"), "no permission"),
        # It claims to be ready, and cannot answer what the trial asks.
        (
            ("/bin/sh", "-c", r"printf '\0\0\0\21R0123456789abcdef\0\0\0\1V'; cat >/dev/null"),
            "did not run the trial",
        ),
        (("/bin/sh", "-c", r"printf '\0\0\0\1R'; cat >/dev/null"), "something else"),
        # The guest itself, on the host: it refuses.
        ((sys.executable, "-c", COMMAND[-1].replace("/a4ps-guest", str(ROOT))), "this is none"),
    ],
)
def test_what_only_looks_like_a_sandbox_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], why: str
) -> None:
    found = search(monkeypatch, Fake(*argv))
    assert found.tier is None
    assert why in found.why_not


class Leaking:
    """gVisor, with a folder of the host shown in it."""

    version = "1"
    weaker = False
    hazard = ""
    name = "leaking"

    def __init__(self, inner: Runsc, shown: str) -> None:
        self.inner, self.shown = inner, shown

    def launch(self, limits: Limits, layout: Layout, folder: Path) -> Launch:
        (Path(layout.root) / self.shown[1:]).mkdir(parents=True, exist_ok=True)
        return self.inner.launch(limits, replace(layout, binds=(*layout.binds, Bind(self.shown, self.shown))), folder)


@pytest.mark.slow
@pytest.mark.parametrize("shown", ["/etc", tempfile.gettempdir()])
def test_a_sandbox_in_which_a_canary_lives_is_passed_over(monkeypatch: pytest.MonkeyPatch, shown: str) -> None:
    need("runsc")
    found = search(monkeypatch, Leaking(candidates()[0], shown), *candidates())
    assert "lets code reach a file of this host" in found.why_not
    assert found.tier is not None
    assert found.tier.name == "runsc"


def test_without_a_sandbox_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert search(monkeypatch).why_not == "neither runsc nor bubblewrap is installed"
    touched = tmp_path / "touched"
    with SecureCodeExecutor() as executor:
        for run in (executor.execute, executor.call):
            with pytest.raises(SandboxUnavailable) as caught:
                run(f"open({str(touched)!r}, 'w')")
            assert "apt-get install runsc bubblewrap" in caught.value.next_step
    assert not touched.exists()


def test_what_a_killed_sandbox_leaves_is_undone(tmp_path: Path) -> None:
    """As Docker, whose container outlives its client."""
    touched = tmp_path / "touched"

    class Leaving(Fake):
        def launch(self, limits: Limits, layout: Layout, folder: Path) -> Launch:
            return Launch(self.argv, undo=("/bin/sh", "-c", f"echo {folder.name} >{touched}"))

    process = SandboxProcess(Leaving("/bin/cat"), DEFAULT, Layout("", ()), tmp_path / "box")
    assert not touched.exists()
    process.reap()
    assert touched.read_text(encoding="ascii") == "box\n"
    assert not (tmp_path / "box").exists()


def test_docker_is_used_only_when_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\necho no daemon >&2\nexit 1\n", encoding="ascii")
    client.chmod(0o755)
    monkeypatch.setattr(tiers, "_found", {})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tiers.find_tier() == tiers.Found(None)
    found = tiers.find_tier("docker")
    assert (found.tier, found.tried) == (None, (("docker", "does not start: no daemon"),))


def test_an_old_gvisor_is_named_as_such() -> None:
    made = Runsc("runsc", "setpriv", "prlimit", "systrap", "20240729.0")
    assert "CVE-2025-2713" in made.hazard
    assert replace(made, version="20260101.0").hazard == ""
    assert replace(made, version="").hazard == ""


def test_a_search_that_found_nothing_is_believed_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine under load can fail one; for the rest of a long life there would be no sandbox."""
    asked: list[str] = []
    monkeypatch.setattr(tiers, "_found", {})

    def none(name: str) -> tuple[()]:
        asked.append(name)
        return ()

    monkeypatch.setattr(tiers, "_candidates", none)
    monkeypatch.setattr(tiers, "FAILURE_S", float("inf"))
    assert tiers.find_tier() is tiers.find_tier()
    monkeypatch.setattr(tiers, "FAILURE_S", -1.0)
    assert tiers.find_tier().tier is None
    assert len(asked) == 2


def test_a_sandbox_that_nobody_knows_is_a_slip_of_the_caller() -> None:
    with SecureCodeExecutor(tier="kvm") as executor, pytest.raises(UsageError, match="no sandbox is called 'kvm'"):
        executor.execute("1")
