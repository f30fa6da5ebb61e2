"""The trial of a candidate: its cases one by one, each in a sandbox of its own, judged out here.

Into the sandbox go the candidate's text and one case's arguments; out comes a typed value. What was expected never goes
in, so a candidate can neither look it up nor patch whoever compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from a4ps.tools.cases import Case, Completes, Ended
from a4ps.tools.properties import UNTRIED, PropertyReport, check_properties
from a4ps.tools.running import Runner, outcome_of
from a4ps.tools.specification import Specification

#: One case may take this long, and all generated inputs together.
CASE_S = 5.0
PROPERTIES_S = 10.0

#: After so many cases that did not end the rest is not tried: each costs its whole time.
OVERRUNS_MAX = 2


@dataclass(frozen=True, slots=True)
class Checked:
    """One case and what was wrong with it, "" where nothing was."""

    case: Case
    fault: str

    @property
    def passed(self) -> bool:
        return not self.fault


@dataclass(frozen=True, slots=True)
class Trial:
    """What a candidate showed. `static` are faults found without running it: then nothing was run."""

    static: tuple[str, ...]
    checked: tuple[Checked, ...] = ()
    properties: PropertyReport = UNTRIED
    tier: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing was found against it; how much was looked at is another question."""
        return not self.static and all(one.passed for one in self.checked) and not self.properties.faults

    @property
    def value_checks(self) -> int:
        """Cases with a known result that passed."""
        return sum(one.passed and not isinstance(one.case.expected, Completes) for one in self.checked)

    @property
    def unseen_checks(self) -> int:
        """Those of them that the writer was not shown."""
        return sum(
            one.passed and one.case.held_out and not isinstance(one.case.expected, Completes) for one in self.checked
        )

    @property
    def score(self) -> tuple[int, int]:
        """Orders candidates, better ones later."""
        if self.static:
            return (-1, -len(self.static))
        return (sum(one.passed for one in self.checked), -len(self.properties.faults))

    def told(self, name: str) -> str:
        """What the writer is told: each fault, but of cases that are held out only how many failed."""
        open_faults = [one for one in self.checked if not one.passed and not one.case.held_out]
        hidden = sum(not one.passed and one.case.held_out for one in self.checked)
        lines = [*self.static]
        lines += [f"{one.case.call_text(name)} {one.fault}." for one in open_faults[:6]]
        if len(open_faults) > 6:
            lines.append(f"{len(open_faults) - 6} more cases failed.")
        lines += self.properties.faults[:4]
        if hidden:
            cases = "case" if hidden == 1 else "cases"
            lines.append(f"{hidden} {cases} that you are not shown failed: read the contract again.")
        return "\n".join(lines)

    def summary(self) -> str:
        """For a person, in a line."""
        if self.static:
            return self.static[0]
        failed = sum(not one.passed for one in self.checked)
        if failed:
            first = next(one for one in self.checked if not one.passed)
            return f"{failed} of {len(self.checked)} cases failed, the first: {first.case.call_text('f')} {first.fault}"
        return self.properties.faults[0] if self.properties.faults else "all checks passed"


def try_out(runner: Runner, source: str, specification: Specification, cases: Sequence[Case]) -> Trial:
    """Run every case, and the properties if all passed. Raises SandboxUnavailable."""
    checked: list[Checked] = []
    tier = ""
    overruns = 0
    for case in cases:
        if overruns == OVERRUNS_MAX:
            checked.append(Checked(case, "was not tried, since others had not ended"))
            continue
        outcome, ran_in = outcome_of(runner, source, specification.name, case.args, CASE_S)
        tier = ran_in or tier
        overruns += isinstance(outcome, Ended)
        checked.append(Checked(case, case.fault(outcome, specification)))
    if not all(one.passed for one in checked):
        return Trial((), tuple(checked), tier=tier)
    return Trial((), tuple(checked), check_properties(runner, source, specification, PROPERTIES_S), tier)
