"""Granted folders from inside a real sandbox: no way out of them by `..`, links of either kind, or a race; sizes capped."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from a4ps.errors import SandboxUnavailable
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.tools import granted_folders
from a4ps.tools.granted_folders import GrantedFolders

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

#: Tries each call (name, arguments); gives what came of each: a value, or the error's text.
TRY = """
def attempt(calls):
    said = []
    for name, args in calls:
        try:
            said.append(globals()[name](*args))
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    return said
"""


@pytest.fixture(scope="module")
def executor() -> Iterator[SecureCodeExecutor]:
    with SecureCodeExecutor(pool_size=1) as opened:
        try:
            _ = opened.tier
        except SandboxUnavailable as error:
            pytest.skip(error.message)
        yield opened


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """`granted` with ways out of it, and `secret` beside it."""
    granted, secret = tmp_path / "granted", tmp_path / "secret"
    (granted / "sub").mkdir(parents=True)
    secret.mkdir()
    (secret / "key").write_text("secret")
    (granted / "link").symlink_to(secret / "key")
    (granted / "way").symlink_to(secret)
    (granted / "sub" / "up").symlink_to("..")
    os.link(secret / "key", granted / "hard")
    os.mkfifo(granted / "pipe")
    return tmp_path


def attempt(
    executor: SecureCodeExecutor, folder: Path, calls: Sequence[tuple[str, tuple[object, ...]]]
) -> list[object]:
    services = GrantedFolders([str(folder)], [str(folder)]).services()
    said = executor.call(TRY, (list(calls),), services=services).value
    assert isinstance(said, list)
    return said


def test_no_path_leads_out(executor: SecureCodeExecutor, house: Path) -> None:
    granted, secret = house / "granted", house / "secret"
    ways = [
        *("../secret/key", "link", "way/key", "sub/../../secret/key", "sub/up/link", "./../secret/key", "way/../key"),
        *("/../secret/key", "pipe", "", ".", "..", "sub", "x\0", "\ud800", "a" * 300, "/proc/self/root/etc/passwd"),
    ]
    paths = [*(f"{granted}/{way}" for way in ways), str(secret / "key"), "/etc/passwd", f"{granted}x/key", "key"]
    said = attempt(executor, granted, [("read_file", (path,)) for path in paths])
    assert all(str(each).startswith("ServiceError: ToolRefused") for each in said), said
    said = attempt(executor, granted, [("write_file", (path, b"mine")) for path in paths])
    assert all(str(each).startswith("ServiceError: ToolRefused") for each in said), said
    assert (secret / "key").read_text() == "secret"
    assert sorted(each.name for each in secret.iterdir()) == ["key"]


def test_writing_to_a_hard_link_leaves_the_other_name_alone(executor: SecureCodeExecutor, house: Path) -> None:
    granted = house / "granted"
    (granted / "hard").chmod(0o640)
    calls = [("write_file", (f"{granted}/hard", b"mine")), ("read_file", (f"{granted}/hard",))]
    assert attempt(executor, granted, calls) == [None, b"mine"]
    assert (house / "secret" / "key").read_text() == "secret"
    assert (granted / "hard").stat().st_mode & 0o777 == 0o640


def test_a_link_that_takes_a_folders_place_meanwhile_leads_nowhere(executor: SecureCodeExecutor, house: Path) -> None:
    """Folders of the path, and the granted one itself, are swapped for links to `secret` all the time."""
    granted, secret = house / "granted", house / "secret"
    (granted / "sub" / "key").write_text("open")
    done = threading.Event()

    def swap() -> None:
        link, aside = house / "new", house / "aside"
        while not done.is_set():
            for place in (granted / "sub", granted):
                place.rename(aside)
                link.symlink_to(secret)
                link.rename(place)
                place.unlink()
                aside.rename(place)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for _ in range(3):
            calls = [("read_file", (f"{granted}/sub/key",)), ("write_file", (f"{granted}/sub/key", b"open"))]
            said = attempt(executor, granted, calls * 100)
            assert not [each for each in said if each not in (b"open", None) and "ToolRefused" not in str(each)]
    finally:
        done.set()
        swapping.join()
    assert (secret / "key").read_text() == "secret"
    assert sorted(each.name for each in secret.iterdir()) == ["key"]


def test_sizes_are_capped_both_ways(executor: SecureCodeExecutor, house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 10_000
    caps = {"FILE_BYTES": size, "READ_BYTES": 3 * size + 1, "WRITTEN_BYTES": 2 * size + 1, "WRITTEN_FILES": 5}
    for name, cap in caps.items():
        assert getattr(granted_folders, name) > cap
        monkeypatch.setattr(granted_folders, name, cap)
    granted = house / "granted"
    (granted / "big").write_bytes(bytes(size + 1))
    (granted / "most").write_bytes(bytes(size))
    big = [("read_file", (f"{granted}/big",)), ("write_file", (f"{granted}/x", bytes(size + 1)))]
    assert all("ToolRefused" in str(each) for each in attempt(executor, granted, big))
    assert not (granted / "x").exists()
    said = attempt(executor, granted, [("read_file", (f"{granted}/most",))] * 5)
    assert [type(each) for each in said] == [bytes] * 3 + [str] * 2
    for length, most in ((size, 2), (1, 5)):
        writes = [("write_file", (f"{granted}/{length}-{n}", bytes(length))) for n in range(7)]
        assert [each is None for each in attempt(executor, granted, writes)] == [n < most for n in range(7)]
        assert len(list(granted.glob(f"{length}-*"))) == most


def test_a_disk_is_not_filled(house: Path, monkeypatch: pytest.MonkeyPatch, executor: SecureCodeExecutor) -> None:
    monkeypatch.setattr(granted_folders, "RESERVE_BYTES", 1 << 60)
    granted = house / "granted"
    before = sorted(granted.iterdir())
    (said,) = attempt(executor, granted, [("write_file", (f"{granted}/x", b"x"))])
    assert "bytes free" in str(said)
    assert sorted(granted.iterdir()) == before


def test_what_is_written_has_a_name_that_can_be_seen(executor: SecureCodeExecutor, house: Path) -> None:
    granted = house / "granted"
    before = sorted(granted.iterdir())
    calls = [("write_file", (f"{granted}/{name}", b"x")) for name in ("a\nb", "\x1b[2J", "\u202egpj.exe")]
    assert all("cannot be seen" in str(each) for each in attempt(executor, granted, calls))
    assert sorted(granted.iterdir()) == before


def test_a_grant_of_a_link_is_none(executor: SecureCodeExecutor, house: Path) -> None:
    (said,) = attempt(executor, house / "granted" / "way", [("read_file", (f"{house}/granted/way/key",))])
    assert "ToolRefused" in str(said)
