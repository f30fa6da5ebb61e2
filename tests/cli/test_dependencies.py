"""What the code imports is declared, pinned and explained."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from tests.doubles.household import ROOT

#: Comes with pydantic, in the one version that fits it.
WITH_ANOTHER = {"pydantic-core"}


def imported() -> set[str]:
    """The distributions whose packages a4ps imports by itself."""
    providers = packages_distributions()
    names: set[str] = set()
    for file in (ROOT / "a4ps").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module or "")
    # langgraph is one package of several distributions.
    outer = {name.partition(".")[0] for name in names} - {"a4ps", "langgraph"} - sys.stdlib_module_names
    # What only the window needs may not be installed; its packages are called as they are imported.
    found = {normal(providers.get(name, [name])[0]) for name in outer} - WITH_ANOTHER
    graph = {
        "langgraph-checkpoint-sqlite" if name.startswith("langgraph.checkpoint") else "langgraph"
        for name in names
        if name.startswith("langgraph.")
    }
    return found | graph


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entries = [*project["dependencies"], *project["optional-dependencies"]["ui"]]
    return {normal(re.split(r"[<>=~!\[ ]", entry)[0]) for entry in entries}


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    assert imported() == declared()


def test_each_is_explained() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    table = text.partition("\nPrograms of the system")[0]
    assert {normal(row) for row in re.findall(r"^\| ([\w-]+) \|", table, re.MULTILINE)} - {"package"} == declared()


def test_each_is_pinned_by_version_alone() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!]+", line) for line in lines)
    assert {normal(line.partition("==")[0]) for line in lines} >= declared()
