"""Where the process's own image is when nobody says otherwise: found as the command line finds it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from a4ps import ports
from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.inference.model_manager import Parts
from a4ps.personas.roster import enrol
from a4ps.places import Places
from a4ps.tools.method_runner import MethodRunner

if TYPE_CHECKING:
    from a4ps.tools.tool_forge import ForgeParts


@dataclass(frozen=True, slots=True)
class DefaultHome:
    """`A4PS_HOME`, else the XDG data folder, looked up each time it is asked."""

    def open_manager(self) -> ProtoManager:
        """The image with the four in it, as a chat would find it; no model is bound to it. Methods of models run sandboxed,
        in sandboxes that end with the manager, or with the process.

        Raises what `Store.open` raises: ImageHeld while a chat or another program has the image.
        """
        manager = ProtoManager.open(Places.find(None, os.environ).image, keys=self.keys())
        runner = MethodRunner()
        manager.bind_code_runner(runner)
        manager.close_with(runner.close)
        try:
            enrol(manager)
        except BaseException:
            manager.close()
            raise
        return manager

    def keys(self) -> KeyFolder:
        return KeyFolder(Places.find(None, os.environ).keys)


def default_models() -> Parts:
    """What `ModelManager()` is made of where nobody says otherwise. Asks whether Ollama answers."""
    from a4ps.kernel.wiring import default_parts  # loads the engines, which whoever wants a Proto only does without

    return default_parts()


def default_tools() -> ForgeParts:
    """What `ToolForge()` is made of where nobody says otherwise. Opens the image, and asks whether Ollama answers."""
    from a4ps.kernel.wiring import default_forge

    return default_forge()


def bind_defaults() -> None:
    """Bind what is not bound yet, for the public constructors without arguments. Touches nothing else."""
    bound = ports.current()
    bound.home = bound.home or DefaultHome()
    bound.models = bound.models or default_models
    bound.forge = bound.forge or default_tools
