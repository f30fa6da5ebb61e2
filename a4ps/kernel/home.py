"""Where the process's own image is when nobody says otherwise: found as the command line finds it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.personas.roster import enrol
from a4ps.places import Places


@dataclass(frozen=True, slots=True)
class DefaultHome:
    """`A4PS_HOME`, else the XDG data folder, looked up each time it is asked."""

    def open_manager(self) -> ProtoManager:
        """The image with the four in it, as a chat would find it; no model is bound to it.

        Raises what `Store.open` raises: ImageHeld while a chat or another program has the image.
        """
        manager = ProtoManager.open(Places.find(None, os.environ).image, keys=self.keys())
        try:
            enrol(manager)
        except BaseException:
            manager.close()
            raise
        return manager

    def keys(self) -> KeyFolder:
        return KeyFolder(Places.find(None, os.environ).keys)


def default_home() -> DefaultHome:
    """What `a4ps.__getattr__` binds. Touches nothing."""
    return DefaultHome()
