"""The catalog: three profiles that keep their promises, and when the next one is worth proposing."""

from __future__ import annotations

import tomllib
from importlib import resources
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.inference.catalog import PROFILE_ORDER, canonical, lacking, load_catalog
from a4ps.personas.roster import NAMES
from a4ps.settings import Settings

CATALOG = load_catalog()
ROOMY = {"vram_gb": 999.0, "ram_gb": 999.0, "disk_gb": 9999.0}


def family(model: str) -> str:
    data = tomllib.loads(resources.files("a4ps.inference").joinpath("catalog.toml").read_text(encoding="utf-8"))
    return str(data["models"][model]["family"])


class TestProfiles:
    def test_every_profile_gives_every_persona_a_known_model(self) -> None:
        assert tuple(CATALOG.profiles) == PROFILE_ORDER
        for profile in CATALOG.profiles.values():
            assert set(profile.models) == set(NAMES)
            assert set(profile.models.values()) <= set(CATALOG.sizes_gb)
            assert profile.description
            assert profile.vram_gb > 0

    def test_the_settings_know_the_same_profiles(self) -> None:
        for name in PROFILE_ORDER:
            assert Settings.model_validate({"profile": name}).profile == name

    def test_fast_is_one_download_of_at_most_three_and_a_half_gigabytes(self) -> None:
        models = set(CATALOG.profiles["fast"].models.values())
        assert len(models) == 1
        assert CATALOG.size_gb(models) <= 3.5
        assert Settings.model_validate({}).profile == "fast"

    def test_duo_has_the_judges_of_another_family_than_the_arguers(self) -> None:
        models = CATALOG.profiles["duo"].models
        assert models["BRICK"] == models["ROBIN"]
        assert models["BABS"] == models["ALFRED"]
        assert family(models["BRICK"]) != family(models["ALFRED"])

    def test_four_is_a_model_for_each(self) -> None:
        assert len(set(CATALOG.profiles["four"].models.values())) == 4

    def test_every_next_profile_asks_for_more(self) -> None:
        for lighter, heavier in pairwise(CATALOG.profiles[name] for name in PROFILE_ORDER):
            assert heavier.vram_gb > lighter.vram_gb
            assert CATALOG.size_gb(heavier.models.values()) > CATALOG.size_gb(lighter.models.values())


class TestChoosing:
    def test_overrides_come_last_and_touch_nobody_else(self) -> None:
        models = CATALOG.models_for("fast", {"BRICK": "mine:1b"})
        assert models["BRICK"] == "mine:1b"
        assert {models[name] for name in NAMES if name != "BRICK"} == set(CATALOG.profiles["fast"].models.values())
        assert CATALOG.profiles["fast"].models["BRICK"] != "mine:1b"

    def test_models_count_once_and_unknown_ones_not(self) -> None:
        one = next(iter(CATALOG.sizes_gb))
        assert CATALOG.size_gb([one, one, "mine:1b"]) == CATALOG.sizes_gb[one]
        assert CATALOG.size_gb([]) == 0


class TestTheNextProfile:
    @pytest.mark.parametrize(("current", "following"), [("fast", "duo"), ("duo", "four"), ("four", None)])
    def test_where_there_is_room_it_is_the_one_after(self, current: str, following: str | None) -> None:
        profile = CATALOG.next_profile(current, **ROOMY)
        assert (profile.name if profile else None) == following

    @pytest.mark.parametrize("lacking", list(ROOMY))
    def test_whatever_is_lacking_it_is_not_proposed(self, lacking: str) -> None:
        assert CATALOG.next_profile("fast", **{**ROOMY, lacking: 0.0}) is None

    @pytest.mark.parametrize("current", ["fast", "duo"])
    def test_the_limits_themselves_suffice(self, current: str) -> None:
        """Exactly the card, the largest model and 2 GB of RAM, the downloads and 5 GB of disk; a hair less does not do."""
        profile = CATALOG.next_profile(current, **ROOMY)
        assert profile is not None
        least = {
            "vram_gb": profile.vram_gb,
            "ram_gb": max(CATALOG.sizes_gb[model] for model in profile.models.values()) + 2,
            "disk_gb": CATALOG.size_gb(profile.models.values()) + 5,
        }
        assert CATALOG.next_profile(current, **least) == profile
        for name, value in least.items():
            assert CATALOG.next_profile(current, **{**least, name: value - 0.01}) is None

    @given(st.sampled_from(PROFILE_ORDER), st.floats(0, 64), st.floats(0, 64), st.floats(0, 64), st.floats(0, 8))
    def test_more_room_never_takes_a_proposal_back(
        self, current: str, vram: float, ram: float, disk: float, more: float
    ) -> None:
        if CATALOG.next_profile(current, vram, ram, disk) is not None:
            assert CATALOG.next_profile(current, vram + more, ram + more, disk + more) is not None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("tiny", "tiny:latest", True),
        ("TINY", "tiny:latest", True),
        ("library/tiny", "tiny", True),
        ("tiny:4b", "tiny", False),
        ("host:5000/tiny", "host:5000/tiny:latest", True),
    ],
)
def test_names_of_one_model(one: str, other: str, same: bool) -> None:
    assert (canonical(one) == canonical(other)) is same


def test_what_is_lacking_is_told_once_and_as_it_was_asked_for() -> None:
    assert lacking(["b", "TINY", "b:latest", "a:4b"], ["tiny:latest", "a:9b"]) == ("b", "a:4b")
