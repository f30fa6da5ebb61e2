"""What the public constructors without arguments take theirs from: `ProtoManager()` asks here which home it opens.

Filled by the wiring, on first use of a public name (see `a4ps.__getattr__`) or explicitly; a test binds what it likes.
Knows no port's type: this is below all who define one, and each checks what it takes out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Ports:
    """One field a port; None where nothing is bound.

    `home` is a `proto_manager.Home`; `models` is called for a `model_manager.Parts`, `forge` for a
    `tool_forge.ForgeParts`.
    """

    home: object | None = None
    models: object | None = None
    forge: object | None = None


_current = Ports()


def current() -> Ports:
    """The process's ports; the same object each time."""
    return _current
