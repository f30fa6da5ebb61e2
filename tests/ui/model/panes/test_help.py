"""Help names everything that hands, keys, handles and the chat field can do."""

from __future__ import annotations

from a4ps.kernel.backend import Backend
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.chat import SLASH
from a4ps.ui.model.command_palette import COMMANDS
from a4ps.ui.model.halo import HANDLES
from a4ps.ui.model.pane import Do
from tests.doubles.pane_driver import Driven


async def test_every_handle_chord_and_command_is_told(backend: Backend) -> None:
    window = Driven(backend, "help", about="persona")
    texts = await window.texts()
    assert "cognitive load" in texts[0]
    assert sum(handle.help in text for handle in HANDLES for text in texts) == len(HANDLES)
    await window.press("Keys")
    texts = await window.texts()
    assert all(any(command.hint in text for text in texts) for command in COMMANDS)
    await window.press("Ctrl-Z")
    assert window.effects == [Do(Act("undo"))]
    await window.press("Chat")
    texts = await window.texts()
    assert all(any(text.startswith(f"/{slash.name}") for text in texts) for slash in SLASH)
