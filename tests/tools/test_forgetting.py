"""I12 for tools: examples, tests and failed calls that hold a word go one by one; a tool made of it goes whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from a4ps.image.forgetting import ImageTexts
from a4ps.image.treatments import IMAGE_TREATMENTS
from a4ps.sought import BAR, Sought
from a4ps.tools.cases import Case, Gives
from a4ps.tools.forgetting import TOOL_RULES, TOOL_TREATMENTS
from a4ps.tools.specification import Specification
from a4ps.tools.tool import Evidence, Tool
from a4ps.tools.tool_use import ForgeFailure
from tests.doubles.byte_search import found_in
from tests.tools.workshop import SLUG, SLUG_SPEC, Craftsmen, Workshop, workshop

SOUGHT = Sought(texts=("Rumpelstilz",))


def forget(shop: Workshop) -> None:
    texts = ImageTexts(shop.manager, {**IMAGE_TREATMENTS, **TOOL_TREATMENTS}, TOOL_RULES)
    texts.begin(SOUGHT)
    texts.remove(SOUGHT)
    assert texts.find(SOUGHT) == []
    assert shop.manager.verify(deep=True).ok


def install(shop: Workshop, source: str = SLUG, task: str = "slugs") -> None:
    tests = (Case(("A B",), Gives("a-b"), "example"), Case(("Rumpelstilz",), Gives("rumpelstilz"), "use"))
    specification = Specification.from_plain(SLUG_SPEC)
    made = Tool("slugify", source, specification, tests, Evidence(1, 3, 1), 1, "BRICK", task, shop.clock.now())
    shop.registry.install(made)


def test_a_tool_goes_on_without_the_examples_that_held_it(tmp_path: Path) -> None:
    with workshop(tmp_path, Craftsmen([])) as shop:
        install(shop, task="slugs for Rumpelstilz")
        shop.registry.promote("slugify", "granted", folders=[tmp_path])
        use = shop.registry.use
        use.count("slugify", ["Rumpelstilz"], 1.0, "gave nothing")
        use.count("slugify", ["other"], 1.0, "gave nothing")
        forget(shop)
        tool = shop.registry.get("slugify")
        assert [case.args for case in tool.tests] == [("A B",)]
        assert tool.task == f"slugs for {BAR}"
        assert tool.level == "granted"
        assert (tool.use.calls, tool.use.failures) == (2, 2)
        assert [failed.args for failed in tool.use.failed] == [("other",)]
        assert shop.registry["slugify"]("A B") == "a-b"
    assert found_in(tmp_path, "rumpelstilz") == []


def test_a_tool_whose_text_holds_it_goes_whole(tmp_path: Path) -> None:
    """With bars in it, it would be another that nobody has tested."""
    with workshop(tmp_path, Craftsmen([])) as shop:
        install(shop, SLUG + "\nUSER = 'Rumpelstilz'\n")
        forget(shop)
        assert shop.registry.names() == []
    assert found_in(tmp_path, "rumpelstilz") == []


@pytest.mark.parametrize("where", ["task", "source", "why"])
def test_what_the_forge_failed_at_goes_whole(tmp_path: Path, where: str) -> None:
    with workshop(tmp_path, Craftsmen([])) as shop:
        words = {"task": "t", "name": "n", "why": "w", "source": "s", where: "for Rumpelstilz"}
        shop.registry.use.learn_failure(ForgeFailure(attempts=3, at=shop.clock.now(), **words))
        forget(shop)
        assert shop.registry.use.failure(words["task"]) is None
    assert found_in(tmp_path, "rumpelstilz") == []
