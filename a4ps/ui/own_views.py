"""Views that other packages bring: each names its module as an entry point of the group `a4ps.views`, and is imported here.

They are installed by the Architect and run in the window's process, like any program of theirs.
"""

from __future__ import annotations

import logging
from importlib.metadata import entry_points

from a4ps.ui.model.pane import Notice

GROUP = "a4ps.views"

_log = logging.getLogger(__name__)


def load_own_views() -> list[Notice]:
    """Import all of them; one that fails is told of, and the others are there."""
    failed = []
    for each in entry_points(group=GROUP):
        try:
            each.load()
        except Exception as error:  # noqa: BLE001 - somebody else's code, without which the window opens all the same
            _log.exception("the views of %s", each.value)
            told = f"The views of {each.value} cannot be loaded: {error}"[:300]
            failed.append(Notice(told, f"correct or remove the package that brings {each.name}", bad=True))
    return failed
