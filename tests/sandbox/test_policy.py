"""The policy is values: each file under tests/data/sandbox is what a sandbox was last agreed to be started with."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from a4ps.sandbox.limits import DEFAULT, GIB, MIB, Limits
from a4ps.sandbox.policy import (
    Bind,
    Layout,
    bubblewrap_argv,
    docker_argv,
    memory_file_bytes,
    python_binds,
    rlimits_of,
    runsc_argv,
    spec_of,
    tethered,
)

GOLDEN = Path(__file__).parents[1] / "data" / "sandbox"
LAYOUT = Layout(
    "/s/root",
    (
        Bind("/usr/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"),
        *python_binds("/opt/bin/python3.11", "/opt/lib/python3.11", "/opt/lib/libpython3.11.so.1.0", (3, 11)),
        Bind("/s/guest", "/a4ps-guest"),
    ),
    (("lib", "usr/lib"),),
)
LIMITS = Limits(total_memory_bytes=1_500 * MIB, tmp_bytes=10 * MIB, processes=7)
AGREED: dict[str, Any] = {
    "runsc-config": spec_of(LIMITS, LAYOUT),
    "runsc-argv": tethered(
        runsc_argv("/bin/runsc", "systrap", "/s/1/state", "/s/1/bundle", "s-1", rootless=True),
        LIMITS,
        setpriv="/bin/setpriv",
        prlimit="/bin/prlimit",
    ),
    "bubblewrap-argv": bubblewrap_argv("/bin/bwrap", LIMITS, LAYOUT, 9),
    "docker-argv": docker_argv("/bin/docker", "debian:12-slim", "s-1", LIMITS, LAYOUT),
    "rlimits": [list(pair) for pair in rlimits_of(LIMITS)],
}


@pytest.mark.parametrize("name", AGREED)
def test_a_sandbox_is_started_as_was_agreed(name: str) -> None:
    assert AGREED[name] == json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def test_kvm_testing_flags_and_host_networks_are_never_used() -> None:
    said = json.dumps(AGREED)
    for word in ("kvm", "TESTONLY", "network=host", "privileged=true", "--share-net"):
        assert word not in said
    assert "--network=none" in AGREED["runsc-argv"]
    assert "--network=none" in AGREED["docker-argv"]
    assert "--unshare-all" in AGREED["bubblewrap-argv"]


def test_nothing_of_the_host_is_writable() -> None:
    bound = [mount for mount in AGREED["runsc-config"]["mounts"] if "bind" in mount.get("options", ())]
    assert len(bound) == len(LAYOUT.binds)
    assert all("ro" in mount["options"] and "rw" not in mount["options"] for mount in bound)
    assert "--bind" not in AGREED["bubblewrap-argv"]
    assert all(word.endswith(",readonly") for word in AGREED["docker-argv"] if word.startswith("--mount="))


def test_the_memory_file_is_bounded_by_whole_gib() -> None:
    sizes = [1, GIB, GIB + 1, 3 * GIB]
    assert [memory_file_bytes(Limits(total_memory_bytes=size)) // GIB for size in sizes] == [1, 1, 2, 3]


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_a_limit_is_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: -1})
    if name != "services_calls":
        with pytest.raises(ValueError, match=name):
            Limits(**{name: 0})
    assert getattr(DEFAULT, name) > 0
