"""How far a longer work of the backend is: a bar on stderr for each thing that its `working` steps name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import click

from a4ps.cli.plain import plain

#: What a whole bar is, so that it moves often enough and not more.
_WHOLE = 1000


class ProgressBars:
    """A context manager; within, `hear` is given the steps. What is `noted` is told on a line of its own."""

    def __init__(self) -> None:
        self._label = ""
        self._bar: Any = None
        self._open = ExitStack()

    def __enter__(self) -> ProgressBars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def hear(self, step: Mapping[str, Any]) -> None:
        """A step of the command."""
        if step["step"] == "noted":
            self._end()
            click.secho(plain(step["text"]), fg="yellow", err=True)
        elif step["step"] == "working":
            if step["label"] != self._label:
                self._end()
                self._begin(step["label"], rated=step["per_s"] is not None)
            reached = int(_WHOLE * step["done"] / step["of"]) if step["of"] else 0
            self._bar.update(max(0, reached - self._bar.pos), step["per_s"])

    def _begin(self, label: str, *, rated: bool) -> None:
        self._label = label
        self._bar = self._open.enter_context(
            click.progressbar(
                length=_WHOLE,
                label=plain(label),
                file=sys.stderr,
                show_eta=not rated,
                item_show_func=_rate if rated else None,
            )
        )

    def _end(self) -> None:
        self._open.close()
        self._label, self._bar = "", None


def _rate(per_s: float | None) -> str:
    return f"{per_s:.0f} a second" if per_s else ""
