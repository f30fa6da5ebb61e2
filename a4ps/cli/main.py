"""The entry point of `a4ps`: finds the command, and is the one edge where errors become messages and exit codes.

Commands are named here and imported only when used, so that `a4ps --help` stays quick. `a4ps` alone is `a4ps up`.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import sys
from typing import Any

import click

from a4ps.cli.failure import tell_failure
from a4ps.cli.streams import json_line, prepare_output, somebody_is_there
from a4ps.errors import A4PSError, CallerError, Stopped, Unsupported, UsageError
from a4ps.version import __version__

#: Command → (module that has `command`, the help line that `a4ps --help` shows).
COMMANDS = {
    "up": ("a4ps.cli.up", "Run the backend, and a chat where somebody is there."),
    "ui": ("a4ps.cli.ui", "Open the world in a window: see, open and change what lives here."),
    "down": ("a4ps.cli.down", "End the backend in order."),
    "status": ("a4ps.cli.status", "Show what the backend does."),
    "console": ("a4ps.cli.console", "Evaluate Python among the living objects."),
    "events": ("a4ps.cli.events", "Show what has happened, and follow what happens."),
    "ask": ("a4ps.cli.ask", "Ask the society a question."),
    "why": ("a4ps.cli.why", "Show what an answer rests on."),
    "chat": ("a4ps.cli.chat", "Talk with the society in this terminal."),
    "series": ("a4ps.cli.series", "Show dissonance, character, drift and load over time."),
    "drift": ("a4ps.cli.drift", "Measure how far the personas are from their codices."),
    "doctor": ("a4ps.cli.doctor", "Tell what works here, and how to mend what does not."),
    "models": ("a4ps.cli.models", "List or fetch the models the personas speak with."),
    "approvals": ("a4ps.cli.approvals", "Allow or forbid what the personas want to do."),
    "memory": ("a4ps.cli.memory", "Add to what is remembered, search it, forget it for good."),
    "tools": ("a4ps.cli.tools", "Have tools written and tested, and use them."),
    "image": ("a4ps.cli.image", "Check, look back, undo, back up and carry what lives here."),
    "config": ("a4ps.cli.config", "Show every setting and its origin, or change one."),
    "uninstall": ("a4ps.cli.uninstall", "Remove what A4PS has made here; the image stays unless you say otherwise."),
    "completion": ("a4ps.cli.completion", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise click.UsageError(f"there is no command {args[0]}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="a4ps")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A local-first society of four minds: ALFRED, BRICK, ROBIN and BABS.

    Without a command: up, and a chat in this terminal; where there is none, a chat with what comes through the pipe.
    """
    if ctx.invoked_subcommand is None:
        name = "up" if somebody_is_there() else "chat"
        ctx.invoke(importlib.import_module(COMMANDS[name][0]).command)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code.

    0 done, 1 failed, 2 usage, 3 an approval is needed, 4 integrity fault, 130 stopped.

    Nothing escapes: what is not an `A4PSError` is logged as internal.

    Sets the umask of the process: what A4PS writes is its owner's alone.
    """
    prepare_output()
    os.umask(0o077)
    as_json = "--json" in arguments
    if not sys.platform.startswith("linux"):
        return _report_error(
            as_json,
            Unsupported(f"A4PS runs on Linux; this is {sys.platform}", next_step="use a Linux machine or WSL 2"),
        )
    try:
        colour = False if os.environ.get("NO_COLOR") else None
        outcome = cli.main(args=arguments, prog_name="a4ps", standalone_mode=False, color=colour)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "a4ps"
        return _report_error(as_json, UsageError(error.format_message(), next_step=f"{path} --help"))
    except (click.Abort, KeyboardInterrupt):
        return _report_error(as_json, Stopped("stopped"))
    except A4PSError as error:
        if not isinstance(error, CallerError) and not error.log:
            _log_traceback()
        return _report_error(as_json, error)
    except BrokenPipeError:
        # The reader of our output went away (`a4ps ask ... | head`): nobody is left to tell.
        sys.stderr.close()
        return 1
    except Exception as error:  # noqa: BLE001 - the outermost edge of the program
        _log_traceback()
        summary = f"something went wrong inside A4PS: {type(error).__name__}: {error}"
        next_step = "please report it with the log; what was answered is safe"
        return _report(as_json, 1, "internal", summary, next_step, _own_log())
    return outcome if isinstance(outcome, int) else 0  # click returns the code of an `Exit`


def _log_traceback() -> None:
    logging.getLogger("a4ps").exception("a4ps %s", " ".join(sys.argv[1:2]))


def _report_error(as_json: bool, error: A4PSError) -> int:
    # What came from the backend was logged there.
    log = error.log or ("" if isinstance(error, CallerError) else _own_log())
    return _report(as_json, error.exit_code, error.kind, error.message, error.next_step, log)


def _own_log() -> str:
    from a4ps.log_file import log_path

    return log_path()


def _report(as_json: bool, code: int, kind: str, message: str, next_step: str, log: str) -> int:
    if as_json:
        error: dict[str, Any] = {"kind": kind, "message": message, "next": next_step, "log": log}
        click.echo(json_line({"error": error}))
    else:
        tell_failure(message, next_step, log)
    return code
