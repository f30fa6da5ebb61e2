"""`a4ps tools` as a program, over a server of models that writes what a test gives it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from a4ps.client.client import As, Client
from a4ps.client.given_files import FILE_BYTES, files_of
from a4ps.errors import RoleRefused, UsageError
from a4ps.governance.roles import Role
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.places import Places
from a4ps.protocol.objects import OBJECTS
from a4ps.protocol.requests.approvals import Decide, EditApproval
from a4ps.protocol.requests.models import UseModel
from a4ps.protocol.requests.tools import PromoteTool, RemoveTool, Tools
from a4ps.tools.registry import ToolRegistry
from a4ps.tools.specification import Specification, SpecificationShape
from a4ps.tools.tool import Evidence, Tool
from tests.doubles.apart_backend import start_apart
from tests.doubles.household import Household, at_terminal
from tests.doubles.tool_society import ToolSociety, serving
from tests.tools.workshop import SLUG, SLUG_RAW

pytestmark = pytest.mark.slow

TASK = "turn a title into a slug"


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> ToolSociety:
    """What the personas say when `a4ps` asks a model here."""
    start_apart(monkeypatch)
    return ToolSociety([SLUG])


@pytest.fixture
def person(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Household]:
    if "writer" not in request.fixturenames:
        yield Household(tmp_path)
        return
    with serving(request.getfixturevalue("writer")) as url:
        yield Household(tmp_path, {"OLLAMA_HOST": url})


def conforms(value: Any, name: str) -> None:
    TypeAdapter(OBJECTS[name]).validate_python(value, strict=True, extra="forbid")


def test_a_tool_is_forged_used_shown_and_removed(person: Household, writer: ToolSociety) -> None:
    writer.texts = [SLUG_RAW, SLUG]
    forged = person.json("tools", "forge", TASK, "--example", 'f("A B") == "a-b"')
    conforms(forged, "tools forge")
    assert (forged["name"], forged["verified"], forged["attempts"]) == ("slugify", True, 2)
    called = person.json("tools", "run", "slugify", "Hello, World")
    conforms(called, "tools run")
    assert called["result"] == "hello-world"
    assert person.run("tools", "run", "slugify", "text=A b").stdout == "a-b\n"
    shown = person.json("tools", "show", "slugify")
    conforms(shown, "tools show")
    assert (shown["source"], shown["calls"], shown["level"]) == (SLUG, 2, "sandboxed")
    listed = person.json("tools", "list")
    conforms(listed, "tools list")
    assert [tool["name"] for tool in listed["tools"]] == ["slugify"]
    removed = person.json("tools", "remove", "slugify")
    conforms(removed, "tools remove")
    assert person.json("tools", "list") == {"tools": [], "unreadable": []}
    person.json("image", "revert", str(removed["change"]))
    assert person.json("tools", "run", "slugify", "x Y")["result"] == "x-y"


def test_each_attempt_is_told_on_stderr(person: Household, writer: ToolSociety) -> None:
    writer.texts = [SLUG_RAW, SLUG]
    done = person.run("tools", "forge", TASK)
    assert done.returncode == 0
    assert "slugify is verified after 2 attempts" in done.stdout
    assert "a4ps tools run slugify TEXT" in done.stdout
    told = done.stderr.splitlines()
    assert told[0].startswith("BRICK specifies slugify(text: str) -> str")
    assert [line.partition(":")[0] for line in told[2:]] == [
        "attempt 1 of at most 3", "attempt 1", "attempt 2 of at most 3", "attempt 2",
    ]  # fmt: skip
    assert "failed" in told[3]
    listed = person.run("tools", "list").stdout
    assert "version 1, sandboxed, not used yet" in listed
    shown = person.run("tools", "show", "slugify").stdout
    assert SLUG.strip() in shown
    assert "not shown to the writer" in shown


def test_what_is_not_verified_is_no_tool_and_the_exit_code_says_so(person: Household, writer: ToolSociety) -> None:
    writer.texts = [SLUG_RAW]
    report = person.json("tools", "forge", TASK, "--tries", "2", expect=1)
    conforms(report, "tools forge")
    assert (report["verified"], report["attempts"]) == (False, 2)
    assert report["tool"]["source"] == SLUG_RAW
    done = person.run("tools", "forge", TASK, "--tries", "1")
    assert done.returncode == 1
    assert "The best attempt, which is not kept as a tool" in done.stdout
    assert person.json("tools", "list") == {"tools": [], "unreadable": []}


def test_a_promotion_is_of_one_text_and_is_withdrawn(person: Household, writer: ToolSociety, tmp_path: Path) -> None:
    writer.texts = [SLUG]
    person.json("tools", "forge", TASK)
    digest = person.json("tools", "show", "slugify")["hash"]
    error = person.json("tools", "promote", "slugify", "in-process", expect=2)["error"]
    assert "--hash" in error["next"]
    assert person.json("tools", "promote", "slugify", "in-process", "--hash", "0" * 16, expect=1)["error"]
    promoted = person.json("tools", "promote", "slugify", "in-process", "--hash", digest[:16])
    conforms(promoted, "tools promote")
    assert person.json("tools", "run", "slugify", "A B")["tier"] == "in-process"
    writer.texts = [SLUG + "# another text\n"]
    assert person.json("tools", "forge", TASK)["tool"]["version"] == 2
    assert person.json("tools", "run", "slugify", "A B")["tier"] == "apart"
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    (tmp_path / "link").symlink_to(data)
    folders = ("--folder", str(tmp_path / "link"), "--folder", f"{out}:rw")
    granted = person.json("tools", "promote", "slugify", "granted", *folders)
    assert (granted["folders"], granted["writable"]) == ([str(data), str(out)], [str(out)])
    assert f"granted {data} {out} (rw)" in person.run("tools", "list").stdout
    assert person.json("tools", "promote", "slugify", "sandboxed")["level"] == "sandboxed"
    assert person.json("tools", "show", "slugify")["level"] == "sandboxed"


def install(person: Household, name: str, source: str, parameters: str, returns: str) -> None:
    """Put a tool of that text into the image, which nobody has open."""
    shape = {"name": name, "parameters": [{"name": "it", "type": parameters}], "returns": returns, "contract": "Any."}
    specification = Specification.of(SpecificationShape.model_validate(shape))
    tool = Tool(name, source, specification, (), Evidence(), 1, "BRICK", TASK, datetime(2026, 12, 1, tzinfo=UTC))
    with opened(person) as manager:
        ToolRegistry(manager, None).install(tool)


def opened(person: Household) -> ProtoManager:
    keys = KeyFolder(person.folder / ".local/state/a4ps/keys")
    return ProtoManager.open(person.home / "image.a4ps", keys=keys)


def test_a_value_of_any_kind_and_size_comes_through(person: Household, writer: ToolSociety, tmp_path: Path) -> None:
    """What MessagePack knows no type for, and what is longer than a client's message may be."""
    person.home.mkdir(parents=True)
    install(person, "odd", "def odd(it):\n    return (it, 2**100, -(2**63) - 1, b'\\xff', {1.5}, None)\n", "Any", "Any")
    install(person, "twice", "def twice(it):\n    return it + it\n", "str", "str")
    install(person, "length", "def length(it):\n    return len(it)\n", "bytes", "int")
    assert person.json("tools", "run", "odd", "(2**70, 1)")["result"] == [
        "(2**70, 1)", 2**100, -(2**63) - 1, "/w==", [1.5], None,
    ]  # fmt: skip
    assert person.json("tools", "run", "odd", "1180591620717411303424")["result"][0] == 2**70
    assert person.run("tools", "run", "odd", "[1, (2, b'x')]").stdout == (
        f"([1, (2, b'x')], {2**100}, {-(2**63) - 1}, b'\\xff', {{1.5}}, None)\n"
    )
    text = "€" * 1_300_000
    (tmp_path / "text").write_text(text, encoding="utf-8")
    assert person.json("tools", "run", "twice", f"it=@{tmp_path}/text")["result"] == text + text
    (tmp_path / "bytes").write_bytes(bytes(range(256)) * 15_000)
    assert person.json("tools", "run", "length", f"@{tmp_path}/bytes")["result"] == 3_840_000


def test_what_is_the_architects_to_decide_is_refused_to_others(
    person: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert person.run("tools", "list").returncode == 0
    monkeypatch.setenv("HOME", str(person.folder))

    async def refused() -> None:
        places = Places.find(None, person.env)
        client = await Client.connect(places, As("test", Role.CLIENT), starts=False)
        try:
            assert await client.call(Tools()) == {"tools": [], "unreadable": []}
            for request in (
                PromoteTool(tool="slugify", level="sandboxed"),
                RemoveTool(tool="slugify"),
                Decide(id="1.1", step="approve"),
                EditApproval(id="1.1", changes=["task=x"]),
                UseModel(persona="BRICK", model="x"),
            ):
                with pytest.raises(RoleRefused):
                    await client.call(request)
        finally:
            await client.aclose()

    asyncio.run(refused())


def completed(person: Household, *typed: str) -> list[str]:
    """What the shell offers for the last word."""
    words = " ".join(("a4ps", *typed))
    completing = {"_A4PS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(typed))}
    program = [str(Path(sys.executable).with_name("a4ps"))]
    done = subprocess.run(program, env=person.env | completing, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line]


def test_the_shell_knows_the_tools_also_while_a_conversation_holds_the_image(
    person: Household, writer: ToolSociety
) -> None:
    assert completed(person, "tools", "run", "") == []
    person.json("tools", "forge", TASK)
    assert person.run("down").returncode == 0
    with opened(person) as manager:
        for name in ("tool:gone", "tool:sluice", "tool:$(reboot)", "slugger"):
            manager.register_proto(Proto(name, {"role": "r", "model_name": "m", "system_prompt": ""}))
        manager.remove_proto("tool:gone")
        for command in ("run", "show", "promote", "remove", "mend"):
            assert completed(person, "tools", command, "slu") == ["slugify", "sluice"]
        assert completed(person, "tools", "show", "") == ["slugify", "sluice"]
        assert completed(person, "tools", "promote", "slugify", "in") == ["in-process"]
    before = sorted(person.home.iterdir())
    assert completed(person, "tools", "run", "slug") == ["slugify"]  # nor when nobody does
    assert sorted(person.home.iterdir()) == before
    (person.home / "image.a4ps").write_bytes(b"no image")
    assert completed(person, "tools", "run", "") == []


def test_who_promotes_into_the_process_is_shown_the_text(person: Household, writer: ToolSociety) -> None:
    person.json("tools", "forge", TASK)
    with at_terminal(person, "tools", "promote", "slugify", "in-process") as (terminal, process):
        before = terminal.wait_for("[y/N]: ")
        assert "re.findall" in before
        terminal.type("\n")
        assert "nothing was promoted" in terminal.rest()
        assert process.wait(30) == 130
    assert person.json("tools", "show", "slugify")["level"] == "sandboxed"


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (["tools", "run", "no-such"], 1, "unknown_tool"),
        (["tools", "show", "no-such"], 1, "unknown_tool"),
        (["tools", "remove", "no-such"], 1, "unknown_tool"),
        (["tools", "mend", "no-such"], 1, "unknown_tool"),
        (["tools", "promote", "no-such", "granted"], 1, "unknown_tool"),
        (["tools", "promote", "slugify", "godlike"], 2, "usage_error"),
        (["tools", "promote", "slugify", "granted"], 1, "promotion_refused"),
        (["tools", "promote", "slugify", "granted", "--folder", "/no/such"], 2, "usage_error"),
        (["tools", "promote", "slugify", "granted", "--folder", ""], 2, "usage_error"),
        (["tools", "promote", "slugify", "granted", "--folder", ":rw"], 2, "usage_error"),
        (["tools", "promote", "slugify", "granted", "--folder", "/"], 1, "promotion_refused"),
        (["tools", "promote", "slugify", "granted", "--folder", "/etc/hostname"], 2, "usage_error"),
        (["tools", "promote", "slugify", "sandboxed", "--folder", "/etc"], 1, "promotion_refused"),
        (["tools", "promote", "slugify", "in-process", "--hash", "0"], 1, "promotion_refused"),
        (["tools", "forge", " "], 2, "usage_error"),
        (["tools", "forge", TASK, "--example", "2 + 2"], 2, "usage_error"),
        (["tools", "forge", TASK, "--tries", "0"], 2, "usage_error"),
        (["tools", "run", "slugify"], 1, "tool_refused"),
        (["tools", "run", "slugify", "a", "b"], 1, "tool_refused"),
        (["tools", "run", "slugify", "@/no/such/file"], 2, "usage_error"),
    ],
)
def test_bad_requests_say_what_to_do(
    person: Household, writer: ToolSociety, arguments: list[str], code: int, kind: str
) -> None:
    if "slugify" in arguments:
        person.json("tools", "forge", TASK)
    error = person.json(*arguments, expect=code)["error"]
    assert error["kind"] == kind
    assert error["next"]


def test_a_rehearsal_writes_no_tools_and_says_why(person: Household) -> None:
    error = person.json("tools", "forge", TASK, expect=1)["error"]
    assert (error["kind"], error["next"]) == ("unsupported", "a4ps models pull")


def test_files_are_read_where_the_person_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "large").write_bytes(bytes(FILE_BYTES + 1))
    given = [f"@{tmp_path}/a", f"text=@{tmp_path}/a", f"@@{tmp_path}/b", f"@{tmp_path}/b", f"@{tmp_path}/large", "@\0"]
    assert files_of(given) == {
        f"{tmp_path}/a": b"1",
        f"{tmp_path}/b": "cannot be read: No such file or directory",
        f"{tmp_path}/large": f"has more than {FILE_BYTES} bytes",
        "\0": "cannot be read: no path",
    }
    (tmp_path / "large").write_bytes(bytes(FILE_BYTES))
    (tmp_path / "other").write_bytes(bytes(FILE_BYTES))
    with pytest.raises(UsageError):
        files_of([f"@{tmp_path}/large", f"@{tmp_path}/other"])
