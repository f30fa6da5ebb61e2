"""I12: nothing keeps words of a person unless somebody answers for it when it is to be forgotten."""

from __future__ import annotations

import ast
import importlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import a4ps
from a4ps.holders import HolderOfText
from a4ps.image.forgetting import COLUMNS_WITH_WORDS, ImageTexts
from a4ps.image.image_file import schema_sql
from a4ps.image.rows import GONE_SUFFIX
from a4ps.image.seal import Seal
from a4ps.image.search_index import create
from a4ps.image.tombstones import FORGETTING_KINDS
from a4ps.kernel.wiring import TREATMENTS, holders_of
from a4ps.places import Places
from a4ps.society.checkpoint_texts import _TABLES
from a4ps.society.graph import Deliberation
from tests.doubles.household import Household
from tests.doubles.lived_in import opened

PACKAGE = Path(a4ps.__file__).parent

NO_WORDS = {
    "meta.image_id": "random",
    "meta.mac": "a signature",
    "commits.id": "random",
    "commits.previous_mac": "a signature",
    "commits.mac": "a signature",
    "rows.salt": "random, or a signature",
    "rows.mac": "a signature",
    "tombstones.mac": "a signature",
}
"""Columns that could hold words, but hold none, and why."""

KINDS_OF_PROTOS = {"proto"}
"""Looked into part by part: image/proto_bars.py."""

MAKERS = {"image/turns.py": "_row", "tools/tool_use.py": "_row"}
"""Files that make a Row in a function of their own, which is given the kind."""

OF_OTHERS = {
    "image/forgetting.py": "what is left of rows",
    "image/transfer.py": "records of an image that is taken over",
}
"""Files that make rows of kinds that are not theirs."""

FILES_WITHOUT_WORDS = {
    "image.a4ps.lock": "a process id",
    "a4ps.toml": "settings, which OtherFiles looks through",
    "key": "a key",
    "token": "a token",
    "witness": "a signature",
}


def test_every_column_of_the_image_is_answered_for() -> None:
    """A new table or column says in COLUMNS_WITH_WORDS what becomes of it, or above why there are no words in it."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema_sql())
        create(connection)
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            if not name.startswith("search_")  # the index's own
        ]
        columns = {
            f"{table}.{column[1]}"
            for table in tables
            for column in connection.execute(f"PRAGMA table_info({table})")
            if column[2] != "INTEGER"
        }
    assert columns == COLUMNS_WITH_WORDS.keys() | NO_WORDS.keys()


def test_every_kind_of_rows_has_a_treatment() -> None:
    """A new kind says how it is forgotten, in TREATMENTS of the wiring: whole, with what derives from it, or in part."""
    kinds = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        file = str(path.relative_to(PACKAGE))
        for kind in kinds_in(path, MAKERS.get(file, "Row")):
            if kind is None:
                assert file in OF_OTHERS, f"{file} makes rows of a kind that this test cannot read"
            else:
                kinds.add(kind.removesuffix(GONE_SUFFIX))
    assert kinds == TREATMENTS.keys() | FORGETTING_KINDS | KINDS_OF_PROTOS


def kinds_in(path: Path, maker: str) -> Iterator[str | None]:
    """The kinds of the rows that are made in a file by calls of `maker`; None for one that is not written there."""
    module = importlib.import_module(".".join(("a4ps", *path.relative_to(PACKAGE).with_suffix("").parts)))
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name != maker:
            continue
        given = node.args[0]
        kind = given.left if isinstance(given, ast.BinOp) else given
        if isinstance(kind, ast.Constant):
            yield str(kind.value)
        elif isinstance(kind, ast.Name) and kind.id.isupper():
            yield str(getattr(module, kind.id))
        elif not (isinstance(given, ast.BinOp) and ast.unparse(given.right) == "GONE_SUFFIX"):  # made elsewhere
            yield None


def test_every_file_of_a_home_is_answered_for(tmp_path: Path) -> None:
    """After a life that makes all of them: a new kind of file needs a holder in the wiring, or a reason above."""
    person = Household(tmp_path)
    person.json("ask", "Tea or coffee in the morning?")
    person.json("ask", "hello")
    (person.home / "chat_history").write_text("\n# x\n+hello\n")
    person.json("config", "set", "num_ctx", "8192")
    person.json("image", "save", str(tmp_path / "saved"))
    person.json("image", "load", str(tmp_path / "saved"))
    person.run("ask", "--turn", "99")
    person.json("down")
    places = Places(person.home, tmp_path / ".local" / "state" / "a4ps")
    with opened(places) as manager:
        holders: list[HolderOfText] = [*holders_of(places), ImageTexts(manager)]
        files = [path for folder in (places.home, places.state) for path in folder.rglob("*") if path.is_file()]
        assert len(files) > 6
        orphans = [
            str(path)
            for path in files
            if path.name not in FILES_WITHOUT_WORDS
            and path.suffix[1:] not in FILES_WITHOUT_WORDS
            and not any(holder.holds_file(path) for holder in holders)
        ]
    assert orphans == []


def test_every_place_that_a4ps_knows_is_answered_for(tmp_path: Path) -> None:
    """A path that is new in `Places` is somebody's, or it is said here that there are no words there."""
    without = {"settings_file", "models", "keys", "tokens", "curve"}
    without |= {"run", "commands_socket", "events_socket", "backend_lock"}
    places = Places(tmp_path / "home", tmp_path / "state")
    with opened(places) as manager:
        for path in (places.chat_history, places.log, places.checkpoints):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        holders: list[HolderOfText] = [*holders_of(places), ImageTexts(manager)]
        names = [name for name, member in vars(Places).items() if isinstance(member, property)]
        assert without <= set(names)
        for name in names:
            answered = any(holder.holds_file(getattr(places, name)) for holder in holders)
            assert answered != (name in without), name


async def test_the_checkpoints_have_no_other_tables(tmp_path: Path) -> None:
    deliberation = await Deliberation.open(tmp_path / "cache" / "checkpoints.sqlite", Seal(bytes(32), bytes(16)))
    await deliberation.aclose()
    with closing(sqlite3.connect(tmp_path / "cache" / "checkpoints.sqlite")) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert {statement.rpartition(" ")[2] for statement in _TABLES} == tables


@pytest.mark.parametrize("name", ["find", "remove", "holds_file"])
def test_every_holder_can_do_all_of_it(tmp_path: Path, name: str) -> None:
    for holder in holders_of(Places(tmp_path / "home", tmp_path / "state")):
        assert holder.name
        assert callable(getattr(holder, name))
