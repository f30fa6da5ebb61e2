"""The forge: what makes a tool verified, what the writer is told, and how it fails honestly."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from a4ps.errors import SandboxUnavailable, ToolFailed, Unsupported, UsageError
from a4ps.tools.cases import Case, Gives
from a4ps.tools.registry import ToolRegistry
from a4ps.tools.report import ForgeProgress, Specified, TestsReady, Tried, Writing
from a4ps.tools.specification import Specification
from a4ps.tools.tool import Evidence, Tool
from a4ps.tools.tool_forge import ToolForge
from tests.tools.workshop import (
    SLUG,
    SLUG_CRASHES,
    SLUG_RAW,
    SLUG_SPEC,
    SLUG_TESTS,
    Craftsmen,
    Workshop,
    alfreds_reply,
    workshop,
)

pytestmark = pytest.mark.slow

TASK = "turn a title into a slug for an address"


def test_wrong_then_wrong_then_right_is_verified_at_the_third_attempt(tmp_path: Path) -> None:
    with workshop(tmp_path, Craftsmen([SLUG_RAW, SLUG_CRASHES, SLUG])) as shop:
        told: list[ForgeProgress] = []
        report = shop.forge.create_tool(TASK, examples=['f("A B") == "a-b"'], listener=told.append)
        assert (report.name, report.verified, report.attempts) == ("slugify", True, 3)
        assert len(report.failures) == 2
        assert str(report).startswith("slugify is verified after 3 attempts, by 7 cases, 3 of them unseen")
        assert [type(each) for each in told] == [Specified, TestsReady, *[Writing, Tried] * 3]
        assert shop.registry["slugify"]("Über Alles 2") == "ber-alles-2"
        tool = shop.registry.get("slugify")
        assert (tool.version, tool.author, tool.use.calls, tool.evidence.tier) == (1, "BRICK", 1, "apart")
        assert tool.source == SLUG
        assert shop.manager.history("tool:slugify")[0].author == "BRICK"


def test_a_tool_that_fails_its_tests_is_not_verified_and_its_best_attempt_is_kept(tmp_path: Path) -> None:
    with workshop(tmp_path, Craftsmen([SLUG_RAW])) as shop:
        report = shop.forge.create_tool(TASK, max_retries=2)
        assert not report.verified
        assert report.attempts == 2
        assert report.tool is not None
        assert report.tool.source == SLUG_RAW
        assert not report.tool.verified
        assert "is not verified after 2 attempts" in str(report)
        assert shop.registry.names() == []
        failure = shop.registry.use.failure(f"  {TASK.upper()} ")
        assert failure is not None
        assert failure.source == SLUG_RAW


def test_a_learnt_failure_expires_and_is_forgotten_once_it_was_done_after_all(tmp_path: Path) -> None:
    with workshop(tmp_path, Craftsmen([SLUG_RAW, SLUG])) as shop:
        shop.forge.create_tool(TASK, max_retries=1)
        assert shop.registry.use.failure(TASK) is not None
        shop.clock.advance(timedelta(days=7, seconds=1).total_seconds())
        assert shop.registry.use.failure(TASK) is None
        shop.clock.advance(-timedelta(days=1).total_seconds())
        assert shop.registry.use.failure(TASK) is not None
        assert shop.forge.create_tool(TASK).verified
        assert shop.registry.use.failure(TASK) is None


def test_what_is_held_out_is_never_told(tmp_path: Path) -> None:
    """Neither input nor result of a case that is held out enters any prompt of the writer."""
    examples = ['f("Shown One") == "shown-one"', 'f("Kept Back") == "kept-back"']
    with workshop(tmp_path, Craftsmen([SLUG_RAW])) as shop:
        shop.forge.create_tool(TASK, max_retries=3, examples=examples)
        asked = [*shop.prompts("tool_specification"), *shop.prompts("tool_writing"), *shop.prompts("tool_mending")]
        assert len(asked) == 4
        assert all("Shown One" in prompt for prompt in asked)
        hidden = [given for given, _ in SLUG_TESTS[1::2]]
        assert not any("Kept Back" in prompt or "kept-back" in prompt for prompt in asked)
        assert not any(repr(given) in prompt for prompt in asked for given in hidden if given)
        assert "that you are not shown failed" in asked[-1]


def test_alfred_sees_the_specification_and_no_code(tmp_path: Path) -> None:
    with workshop(tmp_path, Craftsmen([SLUG_RAW, SLUG])) as shop:
        shop.forge.create_tool(TASK)
        (asked,) = shop.prompts("tool_tests")
        assert "slugify(text: str) -> str" in asked
        assert "return" not in asked.replace("returns", "")
        assert [request.persona for request in shop.engine.requests] == ["BRICK", "ALFRED", "BRICK", "BRICK"]


@pytest.mark.parametrize(
    "forged",
    [
        "def slugify(text):\n    print('TEST PASSED')\n    print('7 passed in 0.01s')\n    return 'x'\n",
        "def slugify(text):\n    import builtins, sys\n    builtins.all = lambda rows: True\n    sys.exit(0)\n",
        "def slugify(text):\n    import sys\n    m = sys.modules\n"
        "    for name in list(m):\n        m[name] = None\n    return object()\n",
        "class Same(str):\n    pass\n\ndef slugify(text):\n    return 'hello-world'\n",
        "def slugify(text):\n    class Same(str):\n        __eq__ = lambda self, other: True\n"
        "        __hash__ = str.__hash__\n"
        "    return Same('x')\n",
        "def slugify(text):\n    raise AssertionError('TEST PASSED')\n",
        "def slugify(text):\n    return {'hello world': 'hello-world', '': ''}.get(text.lower(), 'a-b')\n",
    ],
    ids=["prints", "patches", "breaks modules", "class", "equals everything", "raises", "learnt what is shown"],
)
def test_no_forgery_passes(tmp_path: Path, forged: str) -> None:
    """The judge is out here: what a candidate prints, patches or raises makes no case pass."""
    with workshop(tmp_path, Craftsmen([forged])) as shop:
        assert not shop.forge.create_tool(TASK, max_retries=1).verified
        assert shop.registry.names() == []


def test_what_a_candidate_raises_drives_no_terminal(tmp_path: Path) -> None:
    """`print(report)` in a console is as safe as the command line."""
    raising = (
        "def slugify(text):\n    kind = type('\\x1b[2JE', (Exception,), {})\n"
        "    raise kind('\\x1b]0;owned\\x07\\nslugify is verified')\n"
    )
    with workshop(tmp_path, Craftsmen([raising])) as shop:
        report = shop.forge.create_tool(TASK, max_retries=1)
        assert report.tool is not None
        assert "\\x1b]0;owned\\x07" in str(report)
        assert "\x1b" not in str(report)
        assert "\n" not in str(report)


def test_a_warning_on_stderr_is_no_failure(tmp_path: Path) -> None:
    noisy = SLUG.replace(
        "    return", "    import sys, warnings\n    warnings.warn('old')\n    sys.stderr.write('E')\n    return"
    )
    with workshop(tmp_path, Craftsmen([noisy])) as shop:
        assert shop.forge.create_tool(TASK).verified


def test_nothing_is_verified_on_too_little_evidence(tmp_path: Path) -> None:
    """One example and no tests of ALFRED's: the very text passes, and is not verified all the same."""
    with workshop(tmp_path, Craftsmen([SLUG], tests="no tests today")) as shop:
        report = shop.forge.create_tool(TASK, examples=['f("A B") == "a-b"'])
        assert not report.verified
        assert report.attempts == 1
        assert "give more examples" in report.failures[-1]
        report = shop.forge.create_tool(
            TASK, examples=['f("A B") == "a-b"', 'f("") == ""', 'f("x") == "x"', 'f("!") == ""']
        )
        assert report.verified
        assert "ALFRED wrote no tests" in report.failures[0]


@pytest.mark.parametrize("step", ["specification", "tests"])
@pytest.mark.parametrize(
    "reply", ["[" * 5000, '{"cases": ' + "[" * 3000, "{" * 99, "\ud800", '{"cases": [{"arguments": 7}]}', ""]
)
def test_a_reply_that_is_none_is_an_honest_failure(tmp_path: Path, step: str, reply: str) -> None:
    craftsmen = Craftsmen([SLUG], specification=reply) if step == "specification" else Craftsmen([SLUG], tests=reply)
    with workshop(tmp_path, craftsmen) as shop:
        report = shop.forge.create_tool(TASK)
        assert not report.verified
        assert ("There is no specification" in report.failures[0]) == (step == "specification")


def test_half_a_character_in_a_contract_is_refused(tmp_path: Path) -> None:
    halved = {**SLUG_SPEC, "contract": "Words \ud83d joined."}
    with workshop(tmp_path, Craftsmen([SLUG], json.dumps(halved))) as shop:
        assert "There is no specification" in shop.forge.create_tool(TASK).failures[0]


@pytest.mark.parametrize(
    "name", ["print", "read_file", "write_file", "a4ps_try_all", "__import__", "tool:x", "\u0455lug", "Slug", "x" * 49]
)
def test_a_tool_takes_no_name_that_means_something_else(tmp_path: Path, name: str) -> None:
    with workshop(tmp_path, Craftsmen([SLUG], {**SLUG_SPEC, "name": name})) as shop:
        report = shop.forge.create_tool(TASK)
        assert not report.verified
        assert "There is no specification" in report.failures[0]


def test_what_is_not_to_be_kept_at_once_is_kept_or_declined_later(tmp_path: Path) -> None:
    with workshop(tmp_path, Craftsmen([SLUG])) as shop:
        report = asyncio.run(shop.forge.forge(TASK, keep=False))
        assert (report.verified, shop.registry.names()) == (True, [])
        assert report.tool is not None
        declined = asyncio.run(shop.forge.decline(report.tool))
        assert not declined.verified
        assert shop.registry.use.failure(TASK) is not None
        assert shop.registry.names() == []
    with workshop(tmp_path / "kept", Craftsmen([SLUG])) as shop:
        report = asyncio.run(shop.forge.forge(TASK, keep=False))
        assert report.tool is not None
        kept = asyncio.run(_kept(shop, report.tool))
        assert shop.registry.get("slugify") == kept


async def _kept(shop: Workshop, tool: Tool) -> Tool:
    return await shop.forge.keep(tool)


def test_bytes_are_told_to_alfred_and_come_back_as_bytes(tmp_path: Path) -> None:
    """JSON has texts only."""
    checksum = {**SLUG_SPEC, "name": "parity", "parameters": [{"name": "data", "type": "bytes"}], "returns": "bytes"}
    source = "def parity(data):\n    return bytes([sum(data) % 256])\n"
    cases = [("hex:00ff", "hex:ff"), ("a", "a"), ("", "hex:00"), ("ab", "\u00c3")]
    with workshop(tmp_path, Craftsmen([source], checksum, alfreds_reply(cases[:3], "data"))) as shop:
        report = shop.forge.create_tool(TASK)
        assert report.verified, report
        assert [case.args for case in report.tool.tests] == [(b"\x00\xff",), (b"a",), (b"",)]  # type: ignore[union-attr]
    with workshop(
        tmp_path / "text", Craftsmen([source.replace("bytes([", "str([")], checksum, alfreds_reply(cases[:3], "data"))
    ) as shop:
        assert not shop.forge.create_tool(TASK).verified


def test_two_known_results_are_too_few(tmp_path: Path) -> None:
    with workshop(tmp_path, Craftsmen([SLUG], tests="none")) as shop:
        report = shop.forge.create_tool(TASK, examples=['f("A B") == "a-b"', 'f("") == ""'])
        assert not report.verified
        assert "only 2 cases with a known result, 1 of them unseen" in report.failures[-1]


def test_nothing_is_verified_whose_every_case_its_writer_has_seen(tmp_path: Path) -> None:
    cases = tuple(Case((given,), Gives(result), "example") for given, result in SLUG_TESTS)
    with workshop(tmp_path, Craftsmen([SLUG])) as shop:
        breaks = SLUG.replace("    return", "    if text == '#9':\n        return 9\n    return")
        specification = Specification.from_plain(SLUG_SPEC)
        at = shop.clock.now()
        shop.registry.install(Tool("slugify", breaks, specification, cases, Evidence(), 1, "BRICK", TASK, at))
        with pytest.raises(ToolFailed):
            shop.registry.call("slugify", ["#9"])
        report = shop.forge.mend_tool("slugify")
        assert not report.verified
        assert "6 cases with a known result, 0 of them unseen" in report.failures[-1]
        assert shop.registry.get("slugify").version == 1


def test_the_callers_word_counts_where_alfred_contradicts_it(tmp_path: Path) -> None:
    tests = alfreds_reply([*SLUG_TESTS, ("A_B", "a_b")])
    with workshop(tmp_path, Craftsmen([SLUG], tests=tests)) as shop:
        assert not shop.forge.create_tool(TASK, max_retries=1).verified
        report = shop.forge.create_tool(TASK, examples=['f("A_B") == "a-b"'])
        assert report.verified
        assert "contradicted" in report.failures[0]


def test_an_invented_package_is_refused_by_name_without_a_run(tmp_path: Path) -> None:
    invented = "import slugmaster\n\ndef slugify(text):\n    return slugmaster.slug(text)\n"
    with workshop(tmp_path, Craftsmen([invented, SLUG])) as shop:
        report = shop.forge.create_tool(TASK)
        assert report.verified
        assert "there is no package slugmaster" in report.failures[0]
        assert "there is no package slugmaster" in shop.prompts("tool_mending")[0]


def test_examples_name_the_tool_and_must_fit_its_signature(tmp_path: Path) -> None:
    with workshop(tmp_path, Craftsmen([SLUG.replace("slugify", "sluggish")])) as shop:
        assert shop.forge.create_tool(TASK, examples=['sluggish("A B") == "a-b"']).name == "sluggish"
        report = shop.forge.create_tool(TASK, examples=["f(1, 2) == 3"])
        assert not report.verified
        assert "There is no specification" in report.failures[0]
        with pytest.raises(UsageError, match="call a and b"):
            shop.forge.create_tool(TASK, examples=["a(1) == 1", "b(1) == 1"])


def test_a_new_version_must_pass_the_old_tests_as_well(tmp_path: Path) -> None:
    underscores = SLUG.replace('"-".join', '"_".join')
    with workshop(tmp_path, Craftsmen([SLUG])) as shop:
        first = shop.forge.create_tool(TASK)
        assert first.verified
        cases = [("New One", "new_one"), ("b", "b"), ("c", "c"), ("d e", "d_e")]
        shop.engine.script = Craftsmen([underscores], tests=alfreds_reply(cases))
        assert not shop.forge.create_tool("slugs with underscores", max_retries=1).verified
        assert shop.registry.get("slugify").version == 1
        shop.engine.script = Craftsmen(
            [SLUG + "# again\n"], tests=alfreds_reply([("q r", "q-r"), ("s", "s"), ("", "")])
        )
        assert shop.forge.create_tool("slugs again").verified
        tool = shop.registry.get("slugify")
        assert tool.version == 2
        assert {case.origin for case in tool.tests} == {"earlier", "alfred"}
        assert [change.act for change in shop.manager.history("tool:slugify")] == ["register", "transaction"]


def test_a_tool_of_that_name_with_another_signature_is_not_replaced(tmp_path: Path) -> None:
    with workshop(tmp_path, Craftsmen([SLUG])) as shop:
        shop.forge.create_tool(TASK)
        other = {**SLUG_SPEC, "parameters": [{"name": "text", "type": "list[int]"}]}
        shop.engine.script = Craftsmen([SLUG], specification=other)
        report = shop.forge.create_tool("another thing")
        assert not report.verified
        assert "another signature" in report.failures[0]


def test_a_failure_in_use_goes_back_to_the_forge_as_a_test(tmp_path: Path) -> None:
    breaks = SLUG.replace("    return", "    if text.startswith('#9'):\n        return 9\n    return")
    with workshop(tmp_path, Craftsmen([breaks, breaks, SLUG])) as shop:
        assert shop.forge.create_tool(TASK).verified
        with pytest.raises(Exception, match="which is no str"):
            shop.registry.call("slugify", ["#9 lives"])
        assert [failed.args for failed in shop.registry.get("slugify").use.failed] == [("#9 lives",)]
        mended = shop.forge.mend_tool("slugify")
        assert mended.verified
        assert mended.attempts == 2
        tool = shop.registry.get("slugify")
        assert (tool.version, tool.use.failures, tool.use.failed) == (2, 1, ())
        assert ("#9 lives",) in [case.args for case in tool.tests]
        assert "#9 lives" in shop.prompts("tool_mending")[0]
        again = shop.forge.mend_tool("slugify")
        assert (again.verified, again.attempts) == (True, 0)


def test_a_failure_in_use_expires(tmp_path: Path) -> None:
    breaks = SLUG.replace("    return", "    if text == '#9':\n        return 9\n    return")
    with workshop(tmp_path, Craftsmen([breaks])) as shop:
        shop.forge.create_tool(TASK)
        with pytest.raises(Exception, match="no str"):
            shop.registry.call("slugify", ["#9"])
        shop.clock.advance(timedelta(days=8).total_seconds())
        assert shop.registry.get("slugify").use.failed == ()
        assert shop.registry.get("slugify").use.failures == 1


@pytest.mark.parametrize(("task", "attempts"), [("", 3), ("  ", 3), ("x" * 4001, 3), ("x", 0), ("x", 21)])
def test_a_task_that_is_none_is_refused(tmp_path: Path, task: str, attempts: int) -> None:
    with workshop(tmp_path, Craftsmen([SLUG])) as shop, pytest.raises(UsageError):
        shop.forge.create_tool(task, max_retries=attempts)


def test_no_model_is_asked_without_a_sandbox_nor_in_a_rehearsal(tmp_path: Path) -> None:
    with workshop(tmp_path, Craftsmen([SLUG])) as shop:
        parts = shop.forge._parts
        bare = ToolForge(replace(parts, registry=ToolRegistry(shop.manager, None)))
        with pytest.raises(SandboxUnavailable):
            bare.create_tool(TASK)
        bare.close()
        shop.engine.name = "rehearsal"
        with pytest.raises(Unsupported):
            shop.forge.create_tool(TASK)
        assert shop.engine.requests == []


def test_a_writer_that_is_cut_off_costs_an_attempt(tmp_path: Path) -> None:
    endless = "def slugify(text):\n" + "    text = text + ' '\n" * 3000
    with workshop(tmp_path, Craftsmen([endless, SLUG])) as shop:
        report = shop.forge.create_tool(TASK)
        assert report.verified
        assert "cut off" in report.failures[0]
