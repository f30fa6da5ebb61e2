"""The ToolForge: from a task to a tool that is verified by evidence, or to an honest failure.

    task → specification (BRICK) → tests (the caller's examples; ALFRED's, written from the specification alone) →
    text (BRICK) → static checks → trial in the sandbox → what failed goes back to BRICK, at most N attempts → image

"Verified" means: every case passed, the properties of the signature held, at least `CHECKS_MIN` cases had a known result,
and at least one of them the writer had never been shown. Tests come from those who did not write the text. What is held
out is never told, only that it failed. Where all passed but there was too little to judge by, it is not verified.

Limits. ALFRED can be wrong: then a good text is refused, and an example settles it. Cases are evidence, no proof.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from a4ps import ports
from a4ps.clock import Clock
from a4ps.errors import EngineBroke, EngineGarbled, NotBound, ToolRefused, Unsupported, UsageError
from a4ps.governance.taint import Taint, union
from a4ps.inference.engine import Engine
from a4ps.inference.loop_thread import LoopThread
from a4ps.personas import prompting
from a4ps.sandbox.layout import packages
from a4ps.tools.asking import Asker, Voice
from a4ps.tools.blind_tests import WANTED, read_tests, tests_schema, without_contradiction
from a4ps.tools.cases import ANY_NAME, Case, Example, Gives, held_out_places, parse_example
from a4ps.tools.registry import ToolRegistry, earlier_cases
from a4ps.tools.report import ForgeListener, ForgeProgress, Specified, TestsReady, ToolReport, Tried, Writing
from a4ps.tools.specification import Specification, SpecificationShape
from a4ps.tools.static_checks import faults
from a4ps.tools.tool import Evidence, Tool
from a4ps.tools.tool_use import ForgeFailure
from a4ps.tools.trial import Trial, try_out

WRITER = "BRICK"
TESTER = "ALFRED"

#: Cases with a known result that a tool must pass, and how many of them the writer must not have been shown.
CHECKS_MIN = 3
UNSEEN_MIN = 1

TASK_MAX = 4_000
RETRIES_MAX = 20

_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ForgeParts:
    """What a forge is made of: the registry its tools go to, the engine, and each persona's codex and model."""

    registry: ToolRegistry
    engine: Engine
    voice: Callable[[str], Voice]
    clock: Clock
    num_ctx: int = 8192


@dataclass(frozen=True, slots=True)
class _Job:
    """One tool in the making. `before` is the version that there is already."""

    task: str
    specification: Specification
    cases: tuple[Case, ...]
    before: Tool | None = None
    notes: tuple[str, ...] = ()
    taint: Taint = frozenset()


class ToolForge:
    """Makes tools. `ToolForge()` is made of what the wiring has bound; used from one event loop, or by `create_tool`."""

    def __init__(self, parts: ForgeParts | None = None) -> None:
        """Raises NotBound where there are no parts and nothing is wired; else what opening the image raises."""
        self._parts = _wired() if parts is None else parts
        self._thread: LoopThread | None = None

    @property
    def registry(self) -> ToolRegistry:
        return self._parts.registry

    def create_tool(
        self,
        task_description: str,
        max_retries: int = 3,
        examples: Sequence[str | Sequence[Any]] | None = None,
        *,
        listener: ForgeListener | None = None,
    ) -> ToolReport:
        """`forge`, for callers without an event loop. Blocks, for minutes where a model is slow."""
        return self._loop().run(self.forge(task_description, max_retries, examples, listener=listener))

    def mend_tool(self, name: str, max_retries: int = 3, *, listener: ForgeListener | None = None) -> ToolReport:
        """`mend`, for callers without an event loop."""
        return self._loop().run(self.mend(name, max_retries, listener=listener))

    def close(self) -> None:
        """End the thread that `create_tool` began, if it did; idempotent."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None

    async def forge(
        self,
        task_description: str,
        max_retries: int = 3,
        examples: Sequence[str | Sequence[Any]] | None = None,
        *,
        listener: ForgeListener | None = None,
        keep: bool = True,
        turn: str = "",
        taint: Taint = frozenset(),
    ) -> ToolReport:
        """Make a tool for a task, in at most `max_retries` attempts, and put it into the image if it is verified.

        With `keep` false, a verified tool is reported and not put there: that is for `keep`, or `decline`, to do.

        `examples` are texts such as "f(2) == 4" or 'slugify("A b") == "a-b"', or pairs (arguments, result). A name
        other than f is the tool's. Where the image has a tool of that name, its tests must pass as well.
        `taint` is that of the context in which the task was thought of; the tool keeps it. A failure is reported and
        remembered, not raised. Raises UsageError, Unsupported (no model here),
        SandboxUnavailable, PeerError where an engine fails, and what a commit raises.
        """
        task = _checked_task(task_description, max_retries)
        known = [parse_example(example) for example in examples or ()]
        name = _name_of(known)
        self._need_model()
        await self._need_sandbox()
        asker = self.asker(turn)
        tell = listener or _unheard
        shown = [one for place, one in enumerate(known) if place not in held_out_places(len(known))]
        try:
            specification = await self._specify(asker, task, name, known, shown)
        except EngineGarbled as error:
            return await self._failed(task, name, 0, (f"There is no specification: {error.message}",), None, turn)
        tell(Specified(specification))
        before = self.registry.get(specification.name) if specification.name in self.registry else None
        try:
            job = replace(await self._job(asker, task, specification, known, before), taint=taint)
        except ToolRefused as error:
            why = f"There is a tool {specification.name} of another signature already: {error.message}"
            return await self._failed(task, specification.name, 0, (why,), None, turn)
        return await self._make(asker, job, max_retries, tell, keep, None)

    async def mend(
        self,
        name: str,
        max_retries: int = 3,
        *,
        listener: ForgeListener | None = None,
        keep: bool = True,
        turn: str = "",
    ) -> ToolReport:
        """Give a tool that failed in use back to its writer, with the inputs it failed at as tests.

        Where it fails at none of them any more, it stays as it is and its failures are forgotten. Raises UnknownTool, and
        what `forge` raises.
        """
        tool = self.registry.get(name)
        _checked_task(tool.task, max_retries)
        job = _Job(tool.task, tool.specification, earlier_cases(tool, tool.specification), tool)
        trial = await asyncio.to_thread(try_out, self.registry.runner, tool.source, tool.specification, job.cases)
        if trial.passed:
            self.registry.use.mended(name)
            return ToolReport(name, True, 0, (), tool)
        self._need_model()
        tell = listener or _unheard
        return await self._make(self.asker(turn), job, max_retries, tell, keep, (tool.source, trial))

    async def keep(self, tool: Tool, turn: str = "") -> Tool:
        """Put a verified tool into the image, made in a turn, "" for none. Raises what `ToolRegistry.install` raises."""
        installed = await asyncio.to_thread(self.registry.install, tool, turn)
        await asyncio.to_thread(self.registry.use.forget_failure, tool.task)
        return installed

    async def decline(self, tool: Tool, turn: str = "") -> ToolReport:
        """What becomes of a verified tool that is not wanted, made in a turn, "" for none: a failure like another."""
        why = "It passed, and was not approved of."
        declined = replace(tool, verified=False)
        return await self._failed(tool.task, tool.name, tool.evidence.attempts, (why,), declined, turn)

    async def _specify(
        self, asker: Asker, task: str, name: str, known: Sequence[Example], shown: Sequence[Example]
    ) -> Specification:
        def read(reply: str) -> Specification:
            specification = Specification.of(SpecificationShape.model_validate_json(reply))
            if name:
                specification = replace(specification, name=name)
            for example in known:
                _check_example(example, specification)
            return specification

        taken = self.registry.names()
        return await asker.shaped(
            WRITER,
            "tool_specification",
            SpecificationShape.model_json_schema(),
            read,
            task=prompting.quote(task),
            examples=prompting.section("Examples:", prompting.quote("\n".join(one.text() for one in shown))),
            taken=prompting.section("Names that are taken, unless this is to replace them:", ", ".join(taken[:30])),
        )

    async def _job(
        self,
        asker: Asker,
        task: str,
        specification: Specification,
        known: Sequence[Example],
        before: Tool | None,
    ) -> _Job:
        hidden = held_out_places(len(known))
        examples = [one.as_case(specification, held_out=place in hidden) for place, one in enumerate(known)]
        old = () if before is None else earlier_cases(before, specification)
        notes: list[str] = []
        try:
            tests = await asker.shaped(
                TESTER,
                "tool_tests",
                tests_schema(specification),
                lambda reply: read_tests(reply, specification),
                specification=prompting.quote(specification.as_text()),
                count=str(WANTED),
            )
        except EngineGarbled as error:
            tests = []
            notes.append(f"{TESTER} wrote no tests: {error.message}")
        kept, contradicted = without_contradiction(tests, [*examples, *old])
        if contradicted:
            notes.append(f"{contradicted} of {TESTER}'s tests contradicted the examples and were dropped.")
        return _Job(task, specification, (*examples, *old, *kept), before, tuple(notes))

    async def _make(
        self,
        asker: Asker,
        job: _Job,
        attempts: int,
        tell: ForgeListener,
        keep: bool,
        last: tuple[str, Trial] | None,
    ) -> ToolReport:
        """Write, try, mend; `last` is a text that failed already."""
        specification = job.specification
        hidden = sum(case.held_out for case in job.cases)
        tell(TestsReady(len(job.cases), hidden, sum(case.origin == "alfred" for case in job.cases)))
        best: tuple[str, Trial] | None = None
        failures = list(job.notes)
        for attempt in range(1, attempts + 1):
            tell(Writing(attempt, attempts))
            try:
                source = _source_of(await self._write(asker, job, last))
            except EngineBroke as error:
                failures.append(f"Attempt {attempt}: {error.message}.")
                tell(Tried(attempt, False, error.message))
                continue
            trial = await self._tried(source, job)
            tell(Tried(attempt, trial.passed, trial.summary()))
            last = source, trial
            if best is None or trial.score > best[1].score:
                best = last
            if trial.passed:
                return await self._judged(asker, job, attempt, failures, source, trial, keep)
            failures.append(f"Attempt {attempt}: {trial.summary()}.")
        tool = None if best is None else self._tool(asker, job, attempts, *best, verified=False)
        return await self._failed(job.task, specification.name, attempts, tuple(failures), tool, asker.turn)

    async def _judged(
        self,
        asker: Asker,
        job: _Job,
        attempt: int,
        failures: list[str],
        source: str,
        trial: Trial,
        keep: bool,
    ) -> ToolReport:
        """A text against which nothing was found: verified if enough was looked at."""
        specification = job.specification
        if trial.value_checks < CHECKS_MIN or trial.unseen_checks < UNSEEN_MIN:
            tool = self._tool(asker, job, attempt, source, trial, verified=False)
            why = (
                f"Nothing was found against it, but it passed only {trial.value_checks} cases with a known result, "
                f"{trial.unseen_checks} of them unseen by its writer; {CHECKS_MIN} and {UNSEEN_MIN} are needed: give more "
                "examples."
            )
            return await self._failed(job.task, specification.name, attempt, (*failures, why), tool, asker.turn)
        tool = self._tool(asker, job, attempt, source, trial, verified=True)
        if keep:
            tool = await self.keep(tool, asker.turn)
        return ToolReport(specification.name, True, attempt, tuple(failures), tool)

    async def _write(self, asker: Asker, job: _Job, last: tuple[str, Trial] | None) -> str:
        name = job.specification.name
        open_cases = [case for case in job.cases if not case.held_out and case.origin != "alfred"]
        lines = "\n".join(case.text(name) for case in open_cases[:12])
        parts = {
            "specification": prompting.quote(job.specification.as_text()),
            "examples": prompting.section("Examples:", prompting.quote(lines)),
            "packages": "".join(f" and {name}" for name in packages()),
        }
        if last is None:
            return await asker.text(WRITER, "tool_writing", **parts)
        source, trial = last
        return await asker.text(
            WRITER, "tool_mending", source=source, faults=prompting.quote(trial.told(name)), **parts
        )

    async def _tried(self, source: str, job: _Job) -> Trial:
        found = faults(source, job.specification, packages())
        if found:
            return Trial(tuple(found))
        return await asyncio.to_thread(try_out, self.registry.runner, source, job.specification, job.cases)

    def _tool(self, asker: Asker, job: _Job, attempts: int, source: str, trial: Trial, *, verified: bool) -> Tool:
        evidence = Evidence(
            attempts=attempts,
            checks=trial.value_checks,
            unseen=trial.unseen_checks,
            generated=trial.properties.tried,
            tier=trial.tier,
            writer=asker.voice(WRITER).model,
            tester=asker.voice(TESTER).model,
            notes=(*job.notes, *trial.properties.notes),
        )
        version = 1 if job.before is None else job.before.version + 1
        name = job.specification.name
        at = self._parts.clock.now()
        # What was shown to a writer once stays shown: no later version is judged unseen by it.
        tests = tuple(replace(case, origin="earlier") if case.origin == "use" else case for case in job.cases)
        taint = job.taint if job.before is None else union(job.taint, job.before.taint)
        return Tool(
            name, source, job.specification, tests, evidence, version, WRITER, job.task, at, verified, taint=taint
        )

    async def _failed(
        self, task: str, name: str, attempts: int, failures: tuple[str, ...], best: Tool | None, turn: str
    ) -> ToolReport:
        source = "" if best is None else best.source
        failure = ForgeFailure(task, name, failures[-1], attempts, source, self._parts.clock.now(), turn)
        await asyncio.to_thread(self.registry.use.learn_failure, failure)
        return ToolReport(name, False, attempts, failures, best)

    def _loop(self) -> LoopThread:
        if self._thread is None:
            self._thread = LoopThread("a4ps-forge")
        return self._thread

    def asker(self, turn: str) -> Asker:
        """The means to ask a persona on behalf of a turn, "" for none."""
        return Asker(self._parts.engine, self._parts.voice, self._parts.num_ctx, turn)

    async def _need_sandbox(self) -> None:
        """Raises SandboxUnavailable where no sandbox works: before any model is asked."""
        await asyncio.to_thread(self.registry.runner.call, "def ready():\n    return True\n", name="ready")

    def _need_model(self) -> None:
        if self._parts.engine.name == "rehearsal":
            raise Unsupported("the four rehearse here, and prepared lines write no tools", next_step="a4ps models pull")


def _checked_task(task: str, attempts: int) -> str:
    if not task.strip() or len(task) > TASK_MAX:
        raise UsageError(
            f"a task has 1 to {TASK_MAX} characters, not {len(task.strip())}",
            next_step='a4ps tools forge "the n-th Fibonacci number" --example "f(10) == 55"',
        )
    if not 1 <= attempts <= RETRIES_MAX:
        raise UsageError(f"{attempts} attempts cannot be made", next_step=f"allow 1 to {RETRIES_MAX}")
    return task.strip()


def _name_of(examples: Sequence[Example]) -> str:
    """The name that the examples give the tool, "" where they leave it open. Raises UsageError."""
    names = list(dict.fromkeys(example.name for example in examples if example.name != ANY_NAME))
    if len(names) > 1:
        raise UsageError(f"the examples call {' and '.join(names)}", next_step="give examples of one function")
    return names[0] if names else ""


def _check_example(example: Example, specification: Specification) -> None:
    """Raises ToolRefused where a specification cannot be that of the function in the example."""
    case = example.as_case(specification, held_out=False)
    if isinstance(case.expected, Gives) and not specification.returns.fits(case.expected.value):
        raise ToolRefused(
            f"an example's result is a {type(case.expected.value).__name__}, and it returns {specification.returns}",
            next_step="correct what it returns",
        )


def _source_of(reply: str) -> str:
    """The source in a reply: its longest fenced block, or all of it where there is none."""
    blocks = _FENCED.findall(reply)
    return (max(blocks, key=len) if blocks else reply).strip("\n") + "\n"


def _unheard(progress: ForgeProgress) -> None:
    del progress


def _wired() -> ForgeParts:
    make = ports.current().forge
    if make is None:
        raise NotBound("this process has no forge yet", next_step="ToolForge(ForgeParts(...))")
    return cast(Callable[[], ForgeParts], make)()
