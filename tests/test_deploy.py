"""The systemd unit, and docs/deploy.md: what they name is there, and what can be run here runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from a4ps.inference.catalog import load_catalog
from a4ps.kernel.health import diagnose
from tests.cli.test_next_steps import fault_of
from tests.doubles.household import ROOT, Household, read_until
from tests.kernel.test_health import WELL

UNIT = ROOT / "deploy" / "a4ps.service"
GUIDE = (ROOT / "docs" / "deploy.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
#: What needs a network, a system manager, the root account or a graphics card.
NOT_HERE = re.compile(
    r"git |\./start|nvidia-smi|ollama |sudo |systemctl |loginctl |journalctl |a4ps models pull|mkdir -p ~/.local/bin"
)
#: Takes away what a sandbox, a model or the null device needs, or cannot be had by a service of an account.
BREAKING = frozenset(
    "PrivateDevices MemoryDenyWriteExecute RestrictNamespaces SystemCallFilter PrivateNetwork PrivateUsers ProtectSystem "
    "ProtectHome PrivateTmp ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProtectProc "
    "RestrictAddressFamilies IPAddressDeny RuntimeDirectory StateDirectory DynamicUser User".split()
)


def keys_of_unit() -> dict[str, str]:
    lines = (line for line in UNIT.read_text("utf-8").splitlines() if line and line[0] not in "#[")
    return dict(line.split("=", 1) for line in lines)


def shell_lines(text: str) -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def commands(text: str) -> list[str]:
    """What comes after `a4ps` or `./start`, in blocks and in sentences, up to where another command begins."""
    lines = [*shell_lines(text), *re.findall(r"`([^`\n]+)`", text)]
    found = (re.match(r"(?:a4ps|\./start) ([a-z-].*)", line.partition("#")[0]) for line in lines)
    return sorted({match[1].strip() for match in found if match})


class TestUnit:
    def test_is_what_systemd_understands(self, tmp_path: Path) -> None:
        if (program := shutil.which("systemd-analyze")) is None:
            pytest.skip("there is no systemd-analyze here")
        start = tmp_path / ".local" / "bin" / "a4ps"
        start.parent.mkdir(parents=True)
        start.write_text("#!/bin/sh\n")
        start.chmod(0o755)
        env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
        done = subprocess.run([program, "--user", "verify", UNIT], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        # Of systemd 254; one before waits the same time before each restart.
        known = ("Unknown key 'RestartSteps'", "Unknown key 'RestartMaxDelaySec'")
        assert [
            line for line in done.stderr.splitlines() if str(UNIT) in line and not any(map(line.__contains__, known))
        ] == []

    def test_has_no_key_that_takes_from_sandboxes_models_or_the_card_what_they_need(self) -> None:
        assert not BREAKING & set(keys_of_unit())

    def test_starts_again_after_a_crash_and_not_where_that_would_not_help(self) -> None:
        unit = keys_of_unit()
        assert unit["Restart"] == "on-failure"
        assert unit["RestartPreventExitStatus"].split() == ["2", "4"]

    def test_starts_a_command_that_exists(self) -> None:
        program, _, arguments = keys_of_unit()["ExecStart"].partition(" ")
        assert program == "%h/.local/bin/a4ps"
        assert fault_of(arguments) == ""


class TestGuide:
    @pytest.mark.parametrize("line", commands(GUIDE))
    def test_names_commands_that_exist(self, line: str) -> None:
        assert fault_of(line) == ""

    @pytest.mark.parametrize("line", commands(README))
    def test_the_readme_does_too(self, line: str) -> None:
        assert fault_of(line) == ""

    def test_names_lines_that_doctor_prints(self) -> None:
        lines = {check.name for check in diagnose(WELL, load_catalog())}
        named = {
            name
            for sentence in re.findall(r"\*Doctor's lines?\* ([^:.]*)", GUIDE)
            for name in re.findall(r"\*\*([a-z]+)\*\*", sentence)
        }
        assert len(named) > 9
        assert named <= lines

    def test_says_of_profiles_what_the_catalog_says(self) -> None:
        catalog = load_catalog()
        for name, profile in catalog.profiles.items():
            (row,) = [line for line in GUIDE.splitlines() if line.startswith(f"| `{name}` |")]
            size = catalog.size_gb(set(profile.models.values()))
            assert row.endswith(f"| {size:.1f} GB | {profile.vram_gb} GB |")

    @pytest.mark.slow
    def test_what_can_be_run_here_runs_in_its_order(self, tmp_path: Path) -> None:
        person = Household(tmp_path)
        shim = tmp_path / ".local" / "bin" / "a4ps"
        shim.parent.mkdir(parents=True)
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m a4ps "$@"\n')
        shim.chmod(0o755)
        person.environ["PATH"] = f"{shim.parent}:{os.environ['PATH']}"
        ran = 0
        with ExitStack() as stack:
            for line in shell_lines(GUIDE):
                if NOT_HERE.match(line):
                    continue
                if "cp -a ~/a4ps-keys/." in line:  # a new machine, on which step 2 has made another image
                    shutil.rmtree(tmp_path / ".local" / "state" / "a4ps")
                    shutil.rmtree(person.home)
                    assert person.run("ask", "-q", "hello").returncode == 0
                    assert person.run("down").returncode == 0
                if line == "a4ps up --headless":  # runs until the line that ends it
                    up = stack.enter_context(person.start("up", "--headless"))
                    read_until(up, "A4PS is up")
                    continue
                done = subprocess.run(
                    ["bash", "-c", line], env=person.env, stdin=subprocess.DEVNULL, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                ran += 1
        assert ran > 15
        assert not person.home.exists()
        assert (tmp_path / "a4ps-text" / "image.toml").is_file()
