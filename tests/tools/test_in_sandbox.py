"""The forge and its tools over the real sandbox of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from a4ps.errors import SandboxUnavailable, ToolFailed
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.tools.cases import Case, Gives
from a4ps.tools.specification import Specification
from a4ps.tools.tool import Evidence, Tool
from tests.tools.workshop import SLUG, SLUG_RAW, SLUG_SPEC, Craftsmen, Workshop, workshop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executor() -> Iterator[SecureCodeExecutor]:
    with SecureCodeExecutor(pool_size=1) as opened:
        try:
            _ = opened.tier
        except SandboxUnavailable as error:
            pytest.skip(error.message)
        yield opened


def install(shop: Workshop, source: str) -> None:
    specification = Specification.from_plain(SLUG_SPEC)
    tests = (Case(("A B",), Gives("a-b"), "example"),)
    shop.registry.install(
        Tool("slugify", source, specification, tests, Evidence(1, 3, 1), 1, "BRICK", "x", shop.clock.now())
    )


def test_a_tool_is_made_in_the_sandbox_and_used_there(tmp_path: Path, executor: SecureCodeExecutor) -> None:
    with workshop(tmp_path, Craftsmen([SLUG_RAW, SLUG]), executor) as shop:
        report = shop.forge.create_tool("slugs", examples=['f("A B") == "a-b"'])
        assert (report.verified, report.attempts) == (True, 2)
        assert shop.registry.call("slugify", ["C d"]).tier == executor.tier.name


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return open('/etc/hostname').read()", "raised"),
        ("import os; return os.environ['A4PS_SECRET']", "raised KeyError"),
        ("open('/tmp/x', 'w').write(text); return open('/tmp/x').read()", ""),
        ("return 'x' * 10**9", "raised MemoryError|ended|gave"),
        ("import urllib.request as u; return str(u.urlopen('http://127.0.0.1:9', timeout=1).read())", "raised"),
        ("return read_file('/etc/passwd')", "raised NameError"),
    ],
)
def test_what_a_tool_reaches_is_its_sandbox(
    tmp_path: Path, executor: SecureCodeExecutor, body: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A4PS_SECRET", "told")
    with workshop(tmp_path, Craftsmen([]), executor) as shop:
        install(shop, f"def slugify(text):\n    {body}\n")
        if not says:
            assert shop.registry["slugify"]("kept") == "kept"
            return
        with pytest.raises(ToolFailed, match=says):
            shop.registry["slugify"]("x")


def test_a_granted_tool_reads_and_writes_its_folders_and_nothing_else(
    tmp_path: Path, executor: SecureCodeExecutor
) -> None:
    for name in ("in", "out", "secret"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "title.txt").write_text("Hello World")
    (tmp_path / "secret" / "key").write_text("key")
    copies = (
        "def slugify(text):\n"
        f"    found = read_file('{tmp_path}/in/title.txt').decode().lower()\n"
        f"    write_file('{tmp_path}/out/slug.txt', found)\n"
        f"    return ' '.join(list_files('{tmp_path}/out'))\n"
    )
    folders = [tmp_path / "in", tmp_path / "out"]
    with workshop(tmp_path / "image", Craftsmen([]), executor) as shop:
        install(shop, copies)
        with pytest.raises(ToolFailed):
            shop.registry["slugify"]("x")
        shop.registry.promote("slugify", "granted", folders=folders[:1])
        with pytest.raises(ToolFailed, match="none to write to"):
            shop.registry["slugify"]("x")
        shop.registry.promote("slugify", "granted", folders=folders, writable=folders[1:])
        assert shop.registry["slugify"]("x") == "slug.txt"
        assert (tmp_path / "out" / "slug.txt").read_text() == "hello world"
        install_again = copies.replace("in/title.txt", "secret/key")
        shop.registry.manager.remove_proto("tool:slugify")
        install(shop, install_again)
        shop.registry.promote("slugify", "granted", folders=folders, writable=folders[1:])
        with pytest.raises(ToolFailed, match="granted are"):
            shop.registry["slugify"]("x")
