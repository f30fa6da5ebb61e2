"""The table of ways out is complete: whatever in the package can reach a network, a process or a file is in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import a4ps
from a4ps.governance.policy import ACTIONS, DEFAULTS
from a4ps.governance.ways_out import HARMLESS, STAYS_INSIDE, WAYS_OUT, is_way_out

PACKAGE = Path(a4ps.__file__).parent

#: Packages that reach beyond this process, and names by which the standard library does.
REACHING = frozenset(
    "aiohttp cffi ctypes ftplib http httpx huggingface_hub imaplib lancedb multiprocessing ollama poplib pty pynvml "
    "requests select smtplib socket socketserver ssl subprocess telnetlib urllib webbrowser websockets xllamacpp xmlrpc "
    "zmq".split()
)
DOING = frozenset(
    "create_connection create_server create_subprocess_exec create_subprocess_shell execv execve fork forkpty hardlink_to "
    "open_connection popen posix_spawn rename sendfile start_server symlink_to system write_bytes write_text".split()
)
WRITING = ("'w", "'a", "'x", "'r+", "'wb", "O_WRONLY", "O_RDWR", "O_CREAT")


def reaches(source: str) -> set[str]:
    """The means in a module by which something could leave the process."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {each.name for each in names if each.name.partition(".")[0] in REACHING}
            case ast.ImportFrom(module=str(module), level=0) if module.partition(".")[0] in REACHING:
                found.add(module)
            case ast.ImportFrom(module="asyncio.subprocess"):
                found.add("asyncio.subprocess")
            case ast.Attribute(attr=name) if name in DOING:
                found.add(name)
            case ast.Attribute(value=ast.Name(id="os"), attr="replace"):
                found.add("os.replace")
            case ast.Call(func=ast.Name(id="open") | ast.Attribute(attr="open")):
                if any(mode in ast.unparse(node) for mode in WRITING):
                    found.add("open for writing")
    return found


def modules() -> dict[str, set[str]]:
    """Each module below the package that reaches anywhere, and by what."""
    texts = {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts): file.read_text(encoding="utf-8")
        for file in PACKAGE.rglob("*.py")
    }
    return {name: found for name, text in texts.items() if (found := reaches(text))}


def test_every_module_that_can_reach_beyond_the_process_is_in_the_table() -> None:
    known = {*HARMLESS, *(module for way in WAYS_OUT for module in way.modules)}
    unknown = {name: means for name, means in modules().items() if name not in known}
    assert not unknown, "name them in governance/ways_out.py: as a way out, or as harmless and why"


def test_the_table_names_nothing_that_is_not_there() -> None:
    named = {*HARMLESS, *(module for way in WAYS_OUT for module in way.modules)}
    assert [name for name in named if not (PACKAGE / f"{name.replace('.', '/')}.py").exists()] == []
    assert not set(HARMLESS) - set(modules()), "these reach nowhere any more"


def test_every_action_has_a_policy_and_is_known_as_a_way_out_or_not() -> None:
    ways = {way.action for way in WAYS_OUT if way.action}
    assert ways | set(STAYS_INSIDE) == set(ACTIONS) == set(DEFAULTS)
    assert not ways & set(STAYS_INSIDE)
    assert {action for action in ACTIONS if is_way_out(action)} == ways


def test_a_turn_takes_its_ways_out_as_actions_and_what_nobody_knows_is_one() -> None:
    assert all(bool(way.action) == (way.taker == "turn") for way in WAYS_OUT)
    assert is_way_out("carrier-pigeon")


@pytest.mark.parametrize(
    "source",
    ["import socket", "from httpx import get", "path.write_text('x')", "open(p, 'w')", "os.open(p, os.O_CREAT)",
     "import os\nos.replace(a, b)", "from asyncio.subprocess import PIPE"],
)  # fmt: skip
def test_the_scan_sees_what_it_is_for(source: str) -> None:
    assert reaches(source)
