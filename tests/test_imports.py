"""Importing costs little and does nothing: what is heavy comes with the command that needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: None of these may be loaded by `import a4ps` or by `a4ps --help`.
HEAVY = frozenset(
    "aiosqlite asyncio httpx lancedb langchain_core langgraph langsmith numpy ollama platformdirs prompt_toolkit "
    "pyarrow pydantic pynvml sqlite3 tomlkit".split()
)
ROOT = Path(__file__).parent.parent


def modules_after(code: str, cwd: Path, *extra: str) -> set[str]:
    """Top-level modules loaded in a fresh interpreter once `code` has run."""
    report = (
        f"{code}\nimport sys\nnames = sorted({{name.split('.')[0] for name in sys.modules}})\n"
        "import json\nprint(chr(10) + json.dumps(names))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-X", "utf8", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{report}", *extra],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd)},
    )
    assert done.stderr == ""
    loaded: set[str] = set(json.loads(done.stdout.splitlines()[-1]))
    return loaded


def test_importing_the_package_loads_nothing_but_itself(tmp_path: Path) -> None:
    bare = modules_after("", tmp_path)
    assert modules_after("import a4ps", tmp_path) - bare == {"a4ps"}


@pytest.mark.parametrize(
    "module", ["a4ps", "a4ps.errors", "a4ps.clock", "a4ps.settings", "a4ps.places", "a4ps.image.store", "a4ps.cli.main"]
)
def test_importing_has_no_effects(module: str, tmp_path: Path) -> None:
    """No file, no thread, no output, no change of the environment."""
    code = (
        "import os, threading\nbefore = dict(os.environ)\n"
        f"import {module}\n"
        "assert dict(os.environ) == before\nassert threading.active_count() == 1"
    )
    modules_after(code, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_turn_without_an_embedder_loads_nothing_for_vectors(tmp_path: Path) -> None:
    code = (
        "import asyncio\nfrom a4ps.kernel.backend import Backend\nfrom a4ps.kernel.wiring import environment\n"
        "async def turn():\n"
        "    backend = await Backend.open(environment('home', {'A4PS_ENGINE': 'rehearsal'}))\n"
        "    await (await backend.kernel()).ask('Tea or coffee?', lambda _: None)\n"
        "    await backend.aclose()\n"
        "asyncio.run(turn())"
    )
    assert modules_after(code, tmp_path) & {"lancedb", "numpy", "pyarrow", "pypdf"} == set()


def test_opening_the_backend_loads_no_society(tmp_path: Path) -> None:
    loaded = modules_after("import a4ps.kernel.running", tmp_path)
    assert loaded & {"langgraph", "langsmith", "lancedb", "numpy", "pyarrow"} == set()


def test_a_client_loads_no_kernel(tmp_path: Path) -> None:
    code = (
        "import a4ps.client.client, a4ps.cli.connected, sys\n"
        "assert not [m for m in sys.modules if m.startswith('a4ps.kernel')]"
    )
    assert modules_after(code, tmp_path) & {"langgraph", "sqlite3", "lancedb", "numpy", "httpx"} == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = f"from a4ps.cli.main import run\nassert run({arguments!r}) == 0"
    assert modules_after(code, tmp_path) & HEAVY == set()
    assert list(tmp_path.iterdir()) == []


def test_a_usage_error_loads_nothing_heavier_than_the_places(tmp_path: Path) -> None:
    code = "import io, sys\nsys.stderr = io.StringIO()\nfrom a4ps.cli.main import run\nassert run(['asj']) == 2"
    assert modules_after(code, tmp_path) & {"langgraph", "langsmith", "ollama", "httpx"} == set()


def test_no_command_and_no_part_of_the_window_but_its_view_imports_kivy(tmp_path: Path) -> None:
    """Without a display Kivy ends whoever imports it."""
    code = (
        "import importlib, pkgutil, a4ps.cli, a4ps.ui\n"
        "for package in (a4ps.cli, a4ps.ui):\n"
        "    for each in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not each.name.startswith('a4ps.ui.view') and not each.name.endswith('__main__'):\n"
        "            importlib.import_module(each.name)"
    )
    assert "kivy" not in modules_after(code, tmp_path)
