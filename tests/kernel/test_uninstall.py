"""The plan of what goes and what stays: odd homes, half removed ones, and what others own or use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import StorageFailed
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Store
from a4ps.kernel import uninstall
from a4ps.kernel.autostart import Autostart
from a4ps.kernel.uninstall import Plan, carry_out, plan_of
from a4ps.places import Places


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """So that the folder of sandboxes is the test's own."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def places(tmp_path: Path, runtime: Path) -> Places:
    return Places(tmp_path / "share" / "a4ps", tmp_path / "state" / "a4ps", runtime / "a4ps")


def make(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_image(places: Places) -> bytes:
    with Store.open(places.image, KeyFolder(places.keys), ManualClock()) as store:
        return store.image_id


def live_in(places: Places) -> None:
    """All that a home has after a while."""
    make_image(places)
    make(places.settings_file, "")
    make(places.checkpoints)
    make(places.scrapbook / "12" / "data.lance")
    make(places.chat_history)
    make(places.console_history)
    make(places.models / "m.gguf", "12345")
    make(places.models / "m.gguf.json", "{}")
    make(places.models / "n.gguf.part")
    make(places.home / ".a4ps-draft.abc" / "image.a4ps")
    make(places.home / ".salvage-abc" / "image.a4ps")
    make(places.log)
    make(places.log.with_name("a4ps.log.1"))
    make(places.crashes / "1.json")
    make(places.tokens / "guest.token")
    make(places.curve / "server")
    make(places.run / "lock")


def planned(places: Places, *, everything: bool = False, usual: Places | None = None, others_run: bool = False) -> Plan:
    return plan_of(places, usual or places, Autostart(), everything=everything, others_run=others_run)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def named(plan: Plan) -> dict[Path, str]:
    return {kept.path: kept.why for kept in plan.kept}


class TestAWholeHome:
    def test_keeps_image_settings_and_keys_and_names_them(self, places: Places, tmp_path: Path) -> None:
        live_in(places)
        image_id = make_image(places).hex()
        plan = planned(places)
        carry_out(plan)
        assert set(files(tmp_path)) == {
            "share/a4ps/a4ps.toml",
            "share/a4ps/image.a4ps",
            "share/a4ps/image.a4ps.lock",
            "state/a4ps/keys/curve/server",
            f"state/a4ps/keys/{image_id}.key",
            f"state/a4ps/keys/{image_id}.witness",
        }
        assert set(named(plan)) == {places.image, places.settings_file, places.keys}
        with Store.open(places.image, KeyFolder(places.keys), ManualClock()) as store:
            assert store.verify(deep=True).ok

    def test_goes_without_a_trace_with_everything(self, places: Places, tmp_path: Path) -> None:
        live_in(places)
        plan = planned(places, everything=True)
        assert plan.kept == []
        carry_out(plan)
        assert files(tmp_path) == []
        assert not places.home.exists()
        assert not places.state.exists()
        assert not places.run_base.exists()

    def test_sizes_are_those_of_the_files(self, places: Places) -> None:
        live_in(places)
        sizes = {removal.what: removal.size_bytes for removal in planned(places).removals}
        assert sizes["models"] == len("12345" + "{}" + "x")

    def test_the_plan_changes_nothing(self, places: Places, tmp_path: Path) -> None:
        live_in(places)
        before = files(tmp_path)
        planned(places, everything=True)
        assert files(tmp_path) == before

    def test_earlier_images_go_with_the_image_only(self, places: Places) -> None:
        live_in(places)
        earlier = make(places.home / "image-20260101-120000.a4ps")
        assert named(planned(places))[earlier] == "an earlier image"
        carry_out(planned(places, everything=True))
        assert not earlier.exists()


class TestNothingOrHalf:
    def test_where_nothing_is_there_is_nothing_to_remove(self, places: Places) -> None:
        plan = planned(places)
        assert plan.is_empty
        assert plan.kept == []

    def test_empty_folders_are_something(self, places: Places) -> None:
        places.home.mkdir(parents=True)
        plan = planned(places, everything=True)
        assert not plan.is_empty
        carry_out(plan)
        assert not places.home.exists()

    def test_what_is_cut_off_anywhere_is_finished_by_the_next(
        self, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remove, cuts = uninstall._remove, 0
        while True:
            home = replace(places, home=tmp_path / f"else-{cuts}")  # not ours by its place: by what is in it
            live_in(home)
            make(home.home / "image-20260101-120000.a4ps-wal")
            make(home.home / "image-20260101-120000.a4ps")
            steps = iter(range(1_000))

            def cut(path: Path, steps: Iterator[int] = steps, cut_after: int = cuts) -> None:
                if next(steps) == cut_after:
                    raise OSError(28, "cut", str(path))
                remove(path)

            with monkeypatch.context() as patch:
                patch.setattr(uninstall, "_remove", cut)
                try:
                    carry_out(planned(home, everything=True, usual=places))
                except StorageFailed:
                    pass
                else:
                    break
            carry_out(planned(home, everything=True, usual=places))
            assert not home.home.exists(), f"cut after {cuts}"
            cuts += 1
        assert cuts > 15

    def test_an_image_that_cannot_be_read_leaves_its_key(self, places: Places) -> None:
        live_in(places)
        places.image.write_bytes(b"no image")
        plan = planned(places, everything=True)
        carry_out(plan)
        (key,) = places.keys.glob("*.key")
        assert "cannot be read" in named(plan)[key]
        assert not places.image.exists()


class TestWhatIsNotOurs:
    def test_files_that_a_person_put_there_stay_and_are_named(self, places: Places) -> None:
        live_in(places)
        foreign = [
            make(places.home / "letter.txt"),
            make(places.home / "image.a4ps.bak"),
            make(places.models / "mine.gguf"),
            make(places.home / "cache" / "mine"),
            make(places.state / "note"),
            make(places.keys / "note"),
        ]
        plan = planned(places, everything=True)
        carry_out(plan)
        assert all(path.exists() for path in foreign)
        assert set(foreign) == set(named(plan))

    def test_a_folder_without_anything_of_ours_is_not_a_home(self, places: Places, tmp_path: Path) -> None:
        other = replace(places, home=tmp_path / "documents")
        make(other.models / "m.gguf.part")
        make(other.chat_history)
        make(other.home / "cache" / "checkpoints.sqlite")
        plan = planned(other, everything=True, usual=places)
        assert plan.is_empty
        assert plan.kept == []

    def test_keys_of_other_images_stay_and_are_named(self, places: Places, tmp_path: Path) -> None:
        live_in(places)
        other = make_image(replace(places, home=tmp_path / "other"))
        plan = planned(places, everything=True)
        carry_out(plan)
        key = places.keys / f"{other.hex()}.key"
        assert key in named(plan)
        assert key.exists()
        assert len(list(places.keys.glob("*.key"))) == 1

    def test_what_the_usual_home_uses_too_stays(self, places: Places, tmp_path: Path) -> None:
        live_in(places)
        other = replace(places, home=tmp_path / "other")
        make_image(other)
        unit = make(tmp_path / "a4ps.service")
        plan = plan_of(other, places, Autostart(unit, "x"), everything=True, others_run=False)
        carry_out(plan)
        assert {unit, places.tokens, places.curve, places.log, places.crashes} <= set(named(plan))
        assert unit.exists()
        assert places.log.exists()
        assert places.tokens.exists()
        assert places.image.exists()
        assert not other.home.exists()

    def test_what_a_backend_of_another_home_uses_stays(self, places: Places) -> None:
        live_in(places)
        carry_out(planned(places, others_run=True))
        assert places.tokens.exists()
        assert places.log.exists()

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
    def test_what_belongs_to_another_account_stays(self, places: Places) -> None:
        live_in(places)
        os.chown(places.chat_history, 12345, 12345)
        plan = planned(places)
        carry_out(plan)
        assert named(plan)[places.chat_history] == "it belongs to another account"
        assert places.chat_history.exists()


class TestLinks:
    def test_a_home_that_is_a_link_is_emptied_and_stays(self, places: Places, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        places.home.parent.mkdir(parents=True)
        places.home.symlink_to(disk)
        live_in(places)
        plan = planned(places, everything=True)
        carry_out(plan)
        assert files(disk) == []
        assert disk.is_dir()
        assert places.home.is_symlink()
        assert places.home in named(plan)

    @pytest.mark.parametrize("name", ["models", "cache", "image.a4ps", "chat_history"])
    def test_a_link_in_the_home_goes_and_what_it_leads_to_stays(
        self, places: Places, tmp_path: Path, name: str
    ) -> None:
        live_in(places)
        elsewhere = tmp_path / "elsewhere"
        (places.home / name).rename(elsewhere)
        (places.home / name).symlink_to(elsewhere)
        before = files(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes()
        plan = planned(places, everything=True)
        carry_out(plan)
        assert not os.path.lexists(places.home / name)
        assert before == (files(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes())
        assert elsewhere in named(plan)


def test_the_unit_goes_with_its_links_and_what_was_added_to_it_stays(places: Places, tmp_path: Path) -> None:
    shipped = make(tmp_path / "checkout" / "a4ps.service")
    folder = tmp_path / "systemd"
    folder.mkdir()
    unit, link = folder / "a4ps.service", folder / "wanted"
    unit.symlink_to(shipped)
    link.symlink_to(unit)
    added = make(folder / "a4ps.service.d" / "override.conf")
    plan = plan_of(places, places, Autostart(unit, "x", (link,)), everything=False, others_run=False)
    carry_out(plan)
    assert files(folder) == ["a4ps.service.d/override.conf"]
    assert shipped.exists()
    assert added.parent in named(plan)


def test_what_cannot_be_removed_is_told_with_what_to_do(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    live_in(places)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(uninstall, "_remove", refuse)
    with pytest.raises(StorageFailed, match="Permission denied") as failed:
        carry_out(planned(places))
    assert "do it again" in failed.value.next_step
