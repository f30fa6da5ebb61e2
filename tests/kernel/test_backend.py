"""The backend's one executor and one registry of tools, and models that come while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a4ps.errors import BackendBusy, PromotionRefused, UsageError
from a4ps.inference.catalog import load_catalog
from a4ps.kernel.backend import Backend
from a4ps.kernel.granting import granted_folders
from a4ps.kernel.wiring import Environment, environment


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run"), "A4PS_ENGINE": "rehearsal"}
    return environment(str(tmp_path / "home"), environ)


@pytest.fixture
async def backend(env: Environment) -> AsyncIterator[Backend]:
    opened = await Backend.open(env)
    yield opened
    await opened.aclose()


async def test_the_society_uses_the_sandboxes_and_the_tools_of_the_backend(backend: Backend) -> None:
    """One pool; and one registry, as two would count one tool's calls past each other."""
    kernel = await backend.kernel()
    assert kernel.executor is backend.executor
    assert kernel.society.forge is not None
    assert kernel.society.forge.registry is backend.tools
    assert backend.tools.runner is backend.executor


async def test_while_the_society_works_it_is_not_closed(backend: Backend) -> None:
    async with backend.working() as kernel:
        with pytest.raises(BackendBusy):
            async with backend.alone():
                pass
        assert await backend.kernel() is kernel
    async with backend.alone():
        assert backend.opened is None


async def test_a_model_that_embeds_is_found_though_it_comes_late(backend: Backend) -> None:
    async with backend.memory() as memory:
        assert not memory.embeds
    catalog = load_catalog()
    folder = backend.env.places.models
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{catalog.embedded(catalog.embedder.tag)}.gguf").write_bytes(b"GGUF")
    async with backend.memory() as memory:
        assert memory.embeds
    assert (await backend.kernel()).society.scrapbook.embeds


async def test_a_society_without_vectors_is_opened_anew_once_a_model_embeds(backend: Backend) -> None:
    first = await backend.kernel()
    assert await backend.kernel() is first
    catalog = load_catalog()
    folder = backend.env.places.models
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{catalog.embedded(catalog.embedder.tag)}.gguf").write_bytes(b"GGUF")
    second = await backend.kernel()
    assert second is not first
    assert second.society.scrapbook.embeds


def test_folders_are_granted_by_their_whole_path_and_never_our_own(env: Environment, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    places = env.places
    both = [(str(tmp_path / "link"), True), (str(data), False)]
    assert granted_folders(both, places) == ([str(data)], [])
    for path in ("data", "", "/no/such", str(tmp_path / "link" / "..\0")):
        with pytest.raises(UsageError):
            granted_folders([(path, False)], places)
    places.home.mkdir(parents=True, exist_ok=True)
    (data / "sly").symlink_to(places.home)
    with pytest.raises(PromotionRefused):
        granted_folders([(str(data / "sly"), False)], places)
