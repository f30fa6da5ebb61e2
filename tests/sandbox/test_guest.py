"""The guest program ends every process that it can reach, so it must know where it is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from a4ps.sandbox import guest, supervisor
from a4ps.sandbox.layout import GUEST_FILES
from tests.sandbox.tiers_here import ROOT


def test_it_refuses_to_begin_on_the_host() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom a4ps.sandbox.guest import main; main()",
        ],
        input=b"",
        capture_output=True,
        check=False,
    )
    assert done.returncode == supervisor.REFUSED
    assert b"this is none: not process 1" in done.stderr
    assert done.stdout == b""


STATUS = "Seccomp:\t2\nNoNewPrivs:\t1\nCapEff:\t0\nCapPrm:\t0\nCapBnd:\t0\n"
FILES = {"/proc/self/status": STATUS, "/proc/net/dev": "Inter\n face\n    lo: 0 0\n"}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"/proc/self/status": STATUS.replace("Seccomp:\t2", "Seccomp:\t0")}, "no filter"),
        ({"/proc/self/status": STATUS.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0")}, "no filter"),
        ({"/proc/self/status": STATUS.replace("CapBnd:\t0", "CapBnd:\t3fff")}, "capabilities"),
        ({"/proc/self/status": ""}, "no filter"),
        ({"/proc/net/dev": FILES["/proc/net/dev"] + "  eth0: 0 0\n"}, "a network"),
        ({}, "not our root"),
    ],
)
def test_process_1_of_a_container_is_no_sandbox_of_ours(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], why: str
) -> None:
    monkeypatch.setattr("os.getpid", lambda: 1)
    monkeypatch.setattr(guest, "_read", lambda path: {**FILES, **changed}[path])
    assert why in guest.refusal()


@pytest.mark.parametrize("file", GUEST_FILES)
def test_it_imports_the_standard_library_and_its_own_files_only(file: str) -> None:
    """What it imports has to be in the sandbox; numpy may be, and is asked for late."""
    tree = ast.parse((Path(guest.__file__).parent / file).read_text(encoding="utf-8"))
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "a4ps.sandbox":
            imported += [f"a4ps.sandbox.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported.append(str(node.module))
    foreign = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert foreign <= {"numpy", *(f"a4ps.sandbox.{name.removesuffix('.py')}" for name in GUEST_FILES)}
