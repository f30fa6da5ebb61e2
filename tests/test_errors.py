"""Errors are an interface: their kinds and exit codes are what scripts read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from a4ps import errors
from a4ps.errors import A4PSError

#: Kind → exit code. A change here breaks somebody's script: add, never rename.
KINDS = {
    "usage_error": 2,
    "settings_error": 2,
    "no_such_turn": 1,
    "no_such_memory": 1,
    "document_unreadable": 1,
    "stopped": 130,
    "engine_unreachable": 1,
    "engine_timeout": 1,
    "engine_broke": 1,
    "engine_garbled": 1,
    "engine_busy": 1,
    "engine_refused": 1,
    "prompt_too_long": 1,
    "model_missing": 1,
    "unstorable": 1,
    "not_in_transaction": 1,
    "conflict": 1,
    "console_stuck": 1,
    "unknown_proto": 1,
    "cycle_refused": 1,
    "method_refused": 1,
    "promotion_refused": 1,
    "method_overran": 1,
    "not_bound": 1,
    "sandboxed_error": 1,
    "sandbox_overran": 1,
    "sandbox_killed": 1,
    "sandbox_unavailable": 1,
    "approval_needed": 3,
    "approval_refused": 1,
    "unknown_approval": 1,
    "unknown_tool": 1,
    "tool_refused": 1,
    "tool_failed": 1,
    "forgotten": 1,
    "model_too_large": 1,
    "model_file_bad": 1,
    "model_unexamined": 1,
    "download_failed": 1,
    "download_held": 1,
    "disk_full": 1,
    "storage_failed": 1,
    "image_held": 1,
    "image_too_new": 1,
    "unsupported": 1,
    "protocol_error": 1,
    "role_refused": 1,
    "protocol_mismatch": 1,
    "backend_lost": 1,
    "backend_busy": 1,
    "already_done": 1,
    "integrity_error": 4,
    "key_lost": 4,
    "caller_error": 1,
    "peer_error": 1,
    "world_error": 1,
}


def below(root: type[A4PSError]) -> Iterator[type[A4PSError]]:
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from below(child)


def made(kind: type[A4PSError]) -> A4PSError:
    match kind:
        case errors.EngineTimeout:
            return errors.EngineTimeout("what happened", stage="load", next_step="what to do")
        case errors.ImageHeld:
            return errors.ImageHeld("what happened", pid=7, next_step="what to do")
        case errors.ModelMissing:
            return errors.ModelMissing("qwen:4b")
        case errors.Unstorable:
            return errors.Unstorable("what happened", path="where", next_step="what to do")
        case errors.ApprovalNeeded:
            return errors.ApprovalNeeded("what happened", approval="7.1", next_step="what to do")
        case errors.SandboxedError:
            return errors.SandboxedError("ValueError", "what happened")
        case errors.SandboxKilled:
            return errors.SandboxKilled("what happened", limit="memory", next_step="what to do")
    return kind("what happened", next_step="what to do")


def test_every_kind_and_its_exit_code_is_known() -> None:
    assert {made(kind).kind: kind.exit_code for kind in below(A4PSError)} == KINDS


@pytest.mark.parametrize("kind", list(below(A4PSError)), ids=lambda kind: kind.__name__)
def test_an_error_says_what_happened_and_what_to_do_next(kind: type[A4PSError]) -> None:
    error = made(kind)
    assert str(error) == error.message
    assert error.message
    assert error.next_step
    assert error.kind == error.kind.lower()
    assert error.kind.isidentifier()


def test_whose_fault_it_is_can_be_told_from_the_class() -> None:
    """Each error has one of the four families, and only one."""
    families = (errors.CallerError, errors.PeerError, errors.WorldError, errors.IntegrityError)
    for kind in below(A4PSError):
        assert sum(issubclass(kind, family) for family in families) == 1, kind


def test_errors_carry_fields() -> None:
    assert errors.ModelMissing("qwen:4b").model == "qwen:4b"
    assert "a4ps models pull qwen:4b" in errors.ModelMissing("qwen:4b").next_step
    assert errors.EngineTimeout("x", stage="token").stage == "token"
    assert errors.EngineBroke("x", partial="half an ans").partial == "half an ans"
    assert errors.EngineRefused("x", status=400).status == 400
    assert errors.ImageHeld("x", pid=12).pid == 12
    assert errors.DownloadFailed("x", status=404).status == 404
    too_large = errors.ModelTooLarge("x", needed_bytes=9, budget_bytes=8, num_ctx=2048)
    assert (too_large.needed_bytes, too_large.budget_bytes, too_large.num_ctx) == (9, 8, 2048)
