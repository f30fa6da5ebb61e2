"""What systemd's folders of an account say of the unit, and what doctor makes of that and of a card without driver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from a4ps.kernel.autostart import UNIT, Autostart, read_autostart
from tests.doubles.household import ROOT
from tests.kernel.test_health import WELL, check

SHIPPED = ROOT / "deploy" / UNIT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / ".config" / "systemd" / "user"
    folder.mkdir(parents=True)
    return folder


def enable(folder: Path) -> Path:
    link = folder / "default.target.wants" / UNIT
    link.parent.mkdir()
    link.symlink_to(folder / UNIT)
    return link


def read(home: Path, **environ: str) -> Autostart:
    return read_autostart({"HOME": str(home), **environ}, lingering=home / "linger")


def test_of_an_account_that_has_none(tmp_path: Path) -> None:
    assert read(tmp_path) == Autostart()


def test_one_that_is_linked_from_the_checkout_and_enabled(tmp_path: Path, folder: Path) -> None:
    (folder / UNIT).symlink_to(SHIPPED)
    link = enable(folder)
    start = tmp_path / ".local" / "bin" / "a4ps"
    found = read(tmp_path)
    assert found == Autostart(folder / UNIT, str(start), (link,))
    assert not found.can_start
    start.parent.mkdir(parents=True)
    start.write_text("#!/bin/sh\n")
    start.chmod(0o755)
    assert found.can_start


def test_one_that_is_copied_and_not_enabled(tmp_path: Path, folder: Path) -> None:
    (folder / UNIT).write_text(SHIPPED.read_text())
    assert read(tmp_path).enabled == ()


def test_a_checkout_that_has_moved(tmp_path: Path, folder: Path) -> None:
    (folder / UNIT).symlink_to(tmp_path / "gone" / UNIT)
    assert read(tmp_path) == Autostart(folder / UNIT)
    assert not read(tmp_path).can_start


def test_a_unit_of_that_name_which_starts_something_else_is_not_ours(tmp_path: Path, folder: Path) -> None:
    (folder / UNIT).write_text("[Service]\nExecStart=/bin/sleep 5\n")
    assert read(tmp_path) == Autostart()


def test_another_configuration_folder(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "systemd" / "user"
    folder.mkdir(parents=True)
    (folder / UNIT).write_text("[Service]\nExecStart=-/opt/a4ps up --headless\n")
    found = read(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert (found.unit, found.program) == (folder / UNIT, "/opt/a4ps")


def test_an_account_whose_services_run_without_it(tmp_path: Path, folder: Path) -> None:
    (folder / UNIT).write_text(SHIPPED.read_text())
    (tmp_path / "linger").mkdir()
    (tmp_path / "linger" / "me").touch()
    assert read(tmp_path, USER="me").lingers
    assert not read(tmp_path, USER="you").lingers


class TestAutostart:
    UNIT = Path("/home/me/.config/systemd/user/a4ps.service")
    ON = Autostart(UNIT, "/bin/true", (UNIT,))

    @pytest.mark.parametrize(
        ("autostart", "verdict", "says"),
        [
            (Autostart(), "ok", "none"),
            (ON, "ok", "at login"),
            (replace(ON, lingers=True), "ok", "with the machine"),
            (replace(ON, enabled=()), "note", "nothing by itself"),
            (replace(ON, program="/nowhere/a4ps"), "note", "/nowhere/a4ps"),
            (replace(ON, program=""), "note", "leads nowhere"),
        ],
    )
    def test_tells_when_the_backend_starts_and_what_keeps_it(
        self, autostart: Autostart, verdict: str, says: str
    ) -> None:
        found = check(replace(WELL, autostart=autostart), "autostart")
        assert (found.verdict, bool(found.mend)) == (verdict, verdict == "note")
        assert says in found.detail


def test_a_card_without_its_driver_is_told_from_none() -> None:
    bare = replace(WELL, vram_total_gb=None, vram_free_gb=None)
    found = check(replace(bare, card_without_driver=True), "card")
    assert "driver" in found.detail
    assert "driver" in found.mend
    assert check(bare, "card").mend == ""
