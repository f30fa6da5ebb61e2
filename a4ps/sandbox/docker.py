"""Docker with gVisor as its runtime, for machines on which runsc may not be used alone. Never chosen by itself.

Limits: what ends the client does not end the container. The guest ends when its host's pipe closes, and the container is
removed when the sandbox is reaped; a container whose guest was stopped by the code in it outlives a killed A4PS until
Docker is told to remove it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from a4ps.sandbox.limits import Limits
from a4ps.sandbox.policy import Layout, docker_argv
from a4ps.sandbox.process import Launch

#: Has to be there already; all that it contributes is folders, as Python and the libraries are this machine's.
IMAGE = "debian:stable-slim"


@dataclass(frozen=True, slots=True)
class Docker:
    """The Docker client that is installed, with an image."""

    docker: str
    version: str = ""
    weaker: bool = False
    hazard: str = ""

    @property
    def name(self) -> str:
        return "docker"

    def launch(self, limits: Limits, layout: Layout, folder: Path) -> Launch:
        name = f"a4ps-{folder.name}"
        argv = docker_argv(self.docker, IMAGE, name, limits, layout)
        return Launch(argv, undo=(self.docker, "rm", "--force", name))


def candidates() -> list[Docker]:
    """The Docker that is installed; whether it has the runtime and the image is seen when it is tried."""
    docker = shutil.which("docker")
    return [] if docker is None else [Docker(docker)]
