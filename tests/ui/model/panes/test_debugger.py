"""The Debugger: where a call failed, what its names held; mended, retried with the same arguments, accepted."""

from __future__ import annotations

import pytest

from a4ps.kernel.backend import Backend
from a4ps.ui.model.blocks import Code
from a4ps.ui.model.pane import Open, Refresh
from tests.doubles.pane_driver import Driven
from tests.sandbox.tiers_here import missing
from tests.ui.model.panes.conftest import SHARE

OUTER = "def outer(self, many):\n    kept = 'here'\n    return self.share(many)\n"


async def test_it_opens_on_the_newest_failed_call(backend: Backend) -> None:
    window = Driven(backend, "debugger")
    assert any("No failed call is known" in text for text in await window.texts())
    with pytest.raises(ZeroDivisionError):
        backend.protos.get_proto("NOTE").share(0)
    await window.press("Look again")
    assert window.effects == [Refresh()]
    texts = await window.texts()
    assert window.title == "Debugger: NOTE.share"
    assert texts[0].startswith("ZeroDivisionError")
    assert texts[1].startswith("NOTE.share(0)")
    code = next(each for each in await window.look() if isinstance(each, Code))
    assert (code.text, list(code.marked)) == (SHARE.rstrip("\n"), [3])
    assert "many = 0" in texts


async def test_a_frame_further_out_shows_its_own_names(backend: Backend) -> None:
    note = backend.protos.get_proto("NOTE")
    note.define("outer", OUTER)
    with pytest.raises(ZeroDivisionError):
        note.outer(0)
    window = Driven(backend, "debugger", subject="NOTE", method="outer")
    assert "many = 0" in await window.texts()
    await window.press("outer, line 3")
    texts = await window.texts()
    assert "kept = 'here'" in texts
    await window.press("share, line 3")
    await window.press("Browse NOTE.share")
    assert window.effects == [Open("browser", {"subject": "NOTE", "method": "share"})]


async def test_a_mended_text_is_retried_on_a_copy_and_accepted(backend: Backend) -> None:
    note = backend.protos.get_proto("NOTE")
    with pytest.raises(ZeroDivisionError):
        note.share(0)
    window = Driven(backend, "debugger", subject="NOTE", method="share")
    await window.press("Retry on a copy")
    assert sum("ZeroDivisionError" in text for text in await window.texts()) == 2
    await window.enter("source", SHARE.replace("// many", "// (many or 1)"))
    await window.press("Retry on a copy")
    assert "→ 1" in await window.texts()
    assert note.methods["share"].source == SHARE, "nothing is changed yet"
    await window.press("Accept untested")
    assert note.share(0) == 1
    texts = await window.texts()
    assert "It has worked since." in texts
    assert "Its text has changed since it failed; this is the one of now." in texts


@pytest.mark.skipif(bool(missing("bubblewrap") and missing("runsc")), reason="no sandbox works here")
async def test_a_method_of_a_model_shows_its_frames(backend: Backend) -> None:
    note = backend.protos.get_proto("NOTE")
    note.define("weigh", "def weigh(self, what):\n    print('weighing')\n    return what['weight']\n", author="BABS")
    with pytest.raises(Exception, match="KeyError"):
        note.weigh({})
    texts = await Driven(backend, "debugger").texts()
    assert "weigh, line 3  return what['weight']" in texts
    assert "weighing" in texts
    assert any("of methods that run in this process only" in text for text in texts)


async def test_other_failed_calls_are_a_press_away(backend: Backend) -> None:
    note = backend.protos.get_proto("NOTE")
    for call in (note.share, note.greet):
        with pytest.raises((ZeroDivisionError, TypeError)):
            call(0, *([] if call.__name__ == "share" else [1]))
    window = Driven(backend, "debugger")
    await window.look()
    assert window.title == "Debugger: NOTE.greet"
    await window.press("NOTE.share")
    await window.look()
    assert window.title == "Debugger: NOTE.share"
