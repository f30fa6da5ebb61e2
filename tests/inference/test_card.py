"""A graphics card is told from none even where its driver lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from a4ps.inference.card import is_plugged_in


@pytest.mark.parametrize(
    ("vendor", "kind", "found"),
    [
        ("0x10de", "0x030000", True),  # NVIDIA's, for displays
        ("0x10de", "0x030200", True),  # NVIDIA's, without an output
        ("0x10de", "0x040300", False),  # the sound of such a card
        ("0x8086", "0x030000", False),
    ],
)
def test_by_what_the_bus_says(tmp_path: Path, vendor: str, kind: str, found: bool) -> None:
    device = tmp_path / "0000:01:00.0"
    device.mkdir()
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")
    (tmp_path / "0000:02:00.0").mkdir()
    assert is_plugged_in(tmp_path) is found


def test_a_machine_without_such_a_bus_has_none(tmp_path: Path) -> None:
    assert not is_plugged_in(tmp_path / "devices")
