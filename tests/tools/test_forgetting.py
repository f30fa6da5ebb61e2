"""I12 for tools: examples, tests and failed calls that hold a word go one by one; a tool made of it goes whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from a4ps.image.forgetting import ImageTexts
from a4ps.image.rows import Row
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


def forget(shop: Workshop, sought: Sought = SOUGHT) -> None:
    texts = ImageTexts(shop.manager, {**IMAGE_TREATMENTS, **TOOL_TREATMENTS}, TOOL_RULES)
    texts.begin(sought)
    texts.remove(sought)
    assert texts.find(sought) == []
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


def test_failed_calls_and_makings_go_with_their_turn(tmp_path: Path) -> None:
    """Also where a model chose the arguments and the task, which no question holds."""
    with workshop(tmp_path, Craftsmen([])) as shop:
        install(shop)
        question = b'{"question": "What does it say?"}'
        shop.manager.store.commit([Row("turn", "7", question)], author="architect", reason="asked")
        use = shop.registry.use
        use.count("slugify", ["Rapunzel"], 1.0, "gave nothing", "7")
        use.count("slugify", ["other"], 1.0, "gave nothing", "8")
        use.learn_failure(ForgeFailure("for Rapunzel", "n", "w", 3, "s", shop.clock.now(), "7"))
        texts = ImageTexts(shop.manager, {**IMAGE_TREATMENTS, **TOOL_TREATMENTS}, TOOL_RULES)
        sought = Sought(things=(("turn", "7"),))
        assert [(place.where, place.relation) for place in texts.find(sought)] == [
            ("turn 7: the question", "holds"),
            (f"tool-failure {texts.store.newest('tool-failure', limit=1)[0].key}: a tool that could not be made: "
             "rests on turn 7", "derives"),
            ("failed calls of a tool: rests on turn 7, in 2 rows", "derives"),
        ]  # fmt: skip
        forget(shop, sought)
        assert [failed.args for failed in shop.registry.get("slugify").use.failed] == [("other",)]
        assert use.failure("for Rapunzel") is None
    assert found_in(tmp_path, "Rapunzel") == []
