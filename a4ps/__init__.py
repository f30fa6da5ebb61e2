"""A4PS, the Entropic OS: a local-first society of AI personas living in one durable image.

Importing this package has no effects and loads nothing heavy: the public names are loaded when they are first asked for,
and then know the home that the command line would find. The command line is `a4ps.cli.main`.
"""

from __future__ import annotations

from a4ps.version import __version__

# Type checkers take a variable of this name for true; importing `typing` for it would cost more than all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from a4ps.events import Observer, Subject, event_bus
    from a4ps.image.proto import Proto
    from a4ps.image.proto_manager import ProtoManager
    from a4ps.inference.model_manager import ModelManager
    from a4ps.sandbox.executor import SecureCodeExecutor
    from a4ps.tools.tool_forge import ToolForge

__all__ = [
    "ModelManager",
    "Observer",
    "Proto",
    "ProtoManager",
    "SecureCodeExecutor",
    "Subject",
    "ToolForge",
    "__version__",
    "event_bus",
]

_MODULES = {
    "ModelManager": "a4ps.inference.model_manager",
    "Observer": "a4ps.events",
    "Proto": "a4ps.image.proto",
    "ProtoManager": "a4ps.image.proto_manager",
    "SecureCodeExecutor": "a4ps.sandbox.executor",
    "Subject": "a4ps.events",
    "ToolForge": "a4ps.tools.tool_forge",
    "event_bus": "a4ps.events",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if _MODULES[name] != "a4ps.events":  # which needs no home
        from a4ps.kernel.home import bind_defaults

        bind_defaults()
    globals()[name] = getattr(import_module(_MODULES[name]), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
