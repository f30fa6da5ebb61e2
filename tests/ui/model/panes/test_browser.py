"""The Browser: three columns, a text that is edited, and the version that is chosen beside it."""

from __future__ import annotations

from a4ps.kernel.backend import Backend
from a4ps.ui.model.blocks import Columns, SideBySide
from a4ps.ui.model.pane import Notice
from tests.doubles.pane_driver import Driven
from tests.ui.model.panes.conftest import SHARE


def columns(blocks: object) -> list[list[str]]:
    assert isinstance(blocks, list)
    rows = [[cell.text for cell in each.cells] for each in blocks if isinstance(each, Columns)]
    return [[text for text in column if text] for column in zip(*rows[1:], strict=True)]


async def test_protos_methods_and_versions_are_chosen_from_left_to_right(backend: Backend) -> None:
    async with backend.protos.transaction(reason="no method's") as transaction:
        transaction.edit("NOTE").state["count"] = 4
    window = Driven(backend, "browser")
    await window.enter("find", "note")
    assert columns(await window.look()) == [["NOTE  2"], [], []]
    await window.press("NOTE")
    assert columns(await window.look())[1] == ["greet", "share"]
    await window.press("share")
    versions = columns(await window.look())[2]
    assert len(versions) == 1, "the versions of the method, not all of its Proto"
    assert window.title == "Browser: NOTE.share"
    assert (await window.entry("source")).text == SHARE


async def test_an_earlier_text_stands_beside_and_is_taken_back(backend: Backend) -> None:
    window = Driven(backend, "browser", subject="NOTE", method="share")
    other = SHARE.replace("// many", "/ many")
    await window.enter("source", other)
    await window.press("Accept untested")
    first, second = sorted(int(each.split()[0]) for each in columns(await window.look())[2])
    assert second == window.changes[0]
    await window.press(str(first))
    beside = next(each for each in await window.look() if isinstance(each, SideBySide))
    assert beside.titles == (f"change {first}", "now")
    assert [row for row in beside.rows if row[0] != row[1]] == [
        ("    return len(notes) // many", "    return len(notes) / many")
    ]
    await window.press("Take this text")
    assert (await window.entry("source")).text == SHARE
    beside = next(each for each in await window.look() if isinstance(each, SideBySide))
    assert beside.titles[1] == "what you typed"
    await window.press("Discard what I typed")
    await window.press(str(second))
    await window.press(f"Revert change {second}")
    assert backend.protos.get_proto("NOTE").methods["share"].source == SHARE
    assert window.effects[-1] == Notice("Reverted.")


async def test_what_was_typed_does_not_follow_to_another_method(backend: Backend) -> None:
    window = Driven(backend, "browser", subject="NOTE", method="share")
    await window.enter("source", "def share(self): pass\n")
    await window.press("greet")
    assert "hello" in (await window.entry("source")).text
