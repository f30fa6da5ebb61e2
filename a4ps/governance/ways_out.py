"""The one table of ways out: every path by which data could leave what A4PS keeps, and who can take it.

A way that a *turn* can take is an action, and `policy` decides about it. One of a *setting* leads where the Architect's
settings say, whatever a persona wishes. The *architect*'s are commands that only a person gives.

`HARMLESS` names the modules that handle sockets, processes or files and lead nowhere, with the reason. A module that uses
such means and is in neither list fails tests/governance/test_ways_out.py; so does an action that is in neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Taker: TypeAlias = Literal["turn", "setting", "architect"]


@dataclass(frozen=True, slots=True)
class WayOut:
    """`modules` (below `a4ps`) are those through which it goes; `action` is the kind that a turn would want."""

    what: str
    taker: Taker
    modules: tuple[str, ...]
    action: str = ""


WAYS_OUT: tuple[WayOut, ...] = (
    WayOut("a file that a granted tool writes", "turn", ("tools.granted_folders",), "file-write"),
    WayOut(
        "code that was promoted to this process", "turn", ("tools.registry", "image.call_thread"), "tool-in-process"
    ),
    WayOut("the prompts, to the Ollama of the setting ollama_host", "setting", ("inference.ollama",)),
    WayOut("the name of a model, to the hub or address it is pulled from", "architect", ("inference.download",)),
    WayOut(
        "copies of the image",
        "architect",
        ("image.backup", "image.portable", "image.text_export", "image.restore", "image.exchange"),
    ),
    WayOut("what clients ask for, to those whose keys are known, over TCP", "setting", ("kernel.gatekeeper",)),
    WayOut("whatever is evaluated in the console", "architect", ("kernel.console",)),
    WayOut("commands, to the backend at the setting backend", "setting", ("client.client",)),
    WayOut("what is remembered, as text", "architect", ("cli.memory",)),
    WayOut("pictures of the world and of its plots", "architect", ("ui.view.png", "ui.view.plots")),
)

#: Actions that let nothing out, and why.
STAYS_INSIDE: Mapping[str, str] = {
    "tool-use": "the tool runs in a sandbox without network; what it writes to granted folders is held back until agreed",
    "tool-forge": "texts of a model, tried in sandboxes",
    "tool-keep": "the tool goes into the image, and begins sandboxed",
    "tool-mend": "texts of a model, tried in sandboxes",
    "turn-restart": "the turn begins again, and meets each action anew",
}

#: Modules that use sockets, processes or files and lead nowhere, and why.
HARMLESS: Mapping[str, str] = {
    "ui.view.x_errors": "asks the X library to say in words what it could not do",
    "ui.worlds": "the scripts of worlds in the home",
    "cli.up": "opens the null device",
    "cli.window": "starts the window, and asks whether the display is there that the environment names",
    "cli.uninstall": "asks systemd to let go of the unit",
    "client.starting": "starts the backend, and asks its lock",
    "cli.readiness": "tells the service manager that started it that it is ready",
    "cli.streams": "opens the null device",
    "settings": "writes the settings file in the home, at `config set`",
    "image.image_file": "the image itself",
    "image.keys": "keys and witnesses in the key folder",
    "image.lock": "the lock beside the image",
    "image.migrations": "copies of the image beside it",
    "image.salvage": "a reader of an image file, apart, in a folder of its own",
    "image.unverified": "the same reader's export, in that folder",
    "inference.card": "asks the driver of the graphics card",
    "inference.examiner": "a process that reads a model file's header",
    "inference.llamacpp_process": "the process that runs a model; it has pipes and no port",
    "inference.llamacpp_worker": "that process itself: it asks its own engine through a socket within itself",
    "inference.model_source": "takes addresses apart",
    "inference.ollama_wire": "takes addresses apart",
    "inference.part_file": "model files in the home",
    "kernel.crash_reports": "crash reports in the state folder",
    "kernel.examine": "asks the system what it is",
    "kernel.held_worlds": "cuts words out of the scripts of worlds in the home",
    "kernel.server": "the backend's sockets in the run-time folder: who asks there has shown a token",
    "kernel.tokens": "the tokens in the key folder",
    "kernel.held_files": "takes what is forgotten out of files in the home",
    "log_file": "the log in the state folder",
    "memory.documents": "a bounded process that reads a PDF",
    "memory.following": "names what LanceDB raises",
    "memory.lance_build": "a process of low priority that builds the index in the home",
    "memory.lance_index": "the index in the home",
    "memory.vector_index": "the index in the home, and the process that builds it",
    "protocol.curve": "keys of connections over TCP, in the key folder",
    "protocol.wire": "a socket that somebody else has opened",
    "sandbox.bubblewrap": "starts sandboxes, which have no network",
    "sandbox.guest": "runs inside a sandbox",
    "sandbox.guest_pipes": "runs inside a sandbox",
    "sandbox.layout": "the sandbox's own files, in its folder",
    "sandbox.pool": "waits for sandboxes",
    "sandbox.process": "starts sandboxes, and has pipes to them",
    "sandbox.runsc": "starts sandboxes, which have no network",
    "sandbox.supervisor": "runs inside a sandbox",
    "sandbox.tiers": "a socket on this machine, which a sandbox must fail to reach",
    "sandbox.worker": "runs inside a sandbox",
}


def is_way_out(action: str) -> bool:
    """Whether an action of this kind could let data out. One that the table does not know is taken for one."""
    return action not in STAYS_INSIDE
