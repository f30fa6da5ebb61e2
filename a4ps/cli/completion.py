"""`a4ps completion`: completion for the shells people use, by click's own mechanism."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL.

    For bash: a4ps completion bash >> ~/.bashrc
    """
    from a4ps.cli.main import cli

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(cli, {}, "a4ps", "_A4PS_COMPLETE").source())
