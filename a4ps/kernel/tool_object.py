"""A tool, and the report of its making, as a client sees them."""

from __future__ import annotations

from a4ps.protocol.objects import ToolObject, ToolReportObject, WholeToolObject
from a4ps.tools.arguments import spelt
from a4ps.tools.report import ToolReport
from a4ps.tools.tool import Tool


def tool_object(tool: Tool) -> ToolObject:
    """As `tools list --json` prints it."""
    return {
        "name": tool.name,
        "signature": tool.specification.signature,
        "summary": tool.specification.summary,
        "version": tool.version,
        "author": tool.author,
        "level": tool.level.value,
        "calls": tool.use.calls,
        "failures": tool.use.failures,
        "ms": tool.use.ms,
        "folders": list(tool.folders),
        "writable": list(tool.writable),
    }


def whole_tool_object(tool: Tool) -> WholeToolObject:
    """As `tools show --json` prints it."""
    evidence = tool.evidence
    return {
        **tool_object(tool),
        "contract": tool.specification.contract,
        "errors": [{"exception": case.exception, "when": case.when} for case in tool.specification.errors],
        "source": tool.source,
        "hash": tool.digest,
        "tests": [
            {"text": case.text(tool.name), "origin": case.origin, "held_out": case.held_out} for case in tool.tests
        ],
        "evidence": {
            "attempts": evidence.attempts,
            "checks": evidence.checks,
            "unseen": evidence.unseen,
            "generated": evidence.generated,
            "tier": evidence.tier,
            "writer": evidence.writer,
            "tester": evidence.tester,
            "notes": list(evidence.notes),
        },
        "task": tool.task,
        "made_at": tool.made_at.isoformat(),
        "verified": tool.verified,
        "deterministic": tool.specification.deterministic,
        "failed": [
            {"args": spelt(failed.args), "why": failed.why, "at": failed.at.isoformat()} for failed in tool.use.failed
        ],
    }


def report_object(report: ToolReport) -> ToolReportObject:
    """As `tools forge --json` prints it."""
    return {
        "name": report.name,
        "verified": report.verified,
        "attempts": report.attempts,
        "failures": list(report.failures),
        "summary": str(report),
        "tool": None if report.tool is None else whole_tool_object(report.tool),
    }
