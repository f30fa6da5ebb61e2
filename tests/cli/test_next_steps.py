"""Every command that a text of the program names exists, with the options that are named with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from a4ps.cli.main import cli

PACKAGE = Path(__file__).resolve().parents[2] / "a4ps"
#: From "a4ps" to where a sentence, a quotation or the next command begins.
NAMED = re.compile(r"(?<![\w./-])a4ps ([a-z-][^\n;,:()`→·]*)")


def texts(tree: ast.Module) -> Iterator[str]:
    """String literals; what an f-string fills in becomes X. Docstrings are texts like others."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def commands_named() -> list[tuple[str, str]]:
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for text in texts(ast.parse(file.read_text("utf-8"))):
            found += [(file.name, match[1].strip(" .\"'")) for match in NAMED.finditer(text)]
    return sorted(set(found))


def fault_of(line: str) -> str:
    """What is wrong with a command line, "" where nothing is. Words up to the first that is an argument are commands."""
    command: click.Command = cli
    words = line.split()
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        below = command.get_command(click.Context(command), words[0])
        if below is None and command.invoke_without_command and command is not cli:
            break  # `a4ps config` is a command by itself, and the sentence goes on
        if below is None:
            return f"there is no {words[0]}"
        command = below
        words = words[1:]
    context = click.Context(command, help_option_names=["-h", "--help"])
    known = {name for parameter in command.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if re.match(r"--?[a-z]", word) and word not in known]
    return f"there is no {unknown[0]}" if unknown else ""


def test_commands_are_named_at_all() -> None:
    lines = {line for _, line in commands_named()}
    assert len(lines) > 10
    assert "image verify --deep" in lines


@pytest.mark.parametrize(("file", "line"), commands_named())
def test_the_named_command_exists(file: str, line: str) -> None:
    assert fault_of(line) == ""


@pytest.mark.parametrize("line", ["upp", "image check", "image verify --deeply", "ask --resumed 1"])
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    assert fault_of(line)
