"""Other weights under a known name are noticed, whatever happened in between."""

from __future__ import annotations

from pathlib import Path

from a4ps.clock import ManualClock
from a4ps.image.keys import KeyFolder
from a4ps.image.model_ledger import ModelLedger
from a4ps.image.store import Store

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def test_other_weights_are_told_once_and_recorded(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    with Store.open(tmp_path / "image.a4ps", keys, ManualClock()) as store:
        ledger = ModelLedger(store)
        assert ledger.check("brick", OLD) == ""
        assert ledger.check("brick", OLD) == ""
        assert store.generation == 1
    with Store.open(tmp_path / "image.a4ps", keys, ManualClock()) as store:
        ledger = ModelLedger(store)
        told = ledger.check("brick", NEW)
        assert "brick is not what it was" in told
        assert "aaaaaaaaaaaa on 2026-11-22" in told
        assert ledger.check("brick", NEW) == ""
        assert ledger.known() == {"brick": NEW}
        assert len(store.past("model", "brick")) == 2


def test_a_store_that_is_closed_costs_the_record_not_the_turn(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys"), ManualClock())
    ledger = ModelLedger(store)
    ledger.check("brick", OLD)
    head = store.head
    store._writer.close()
    assert "could not be recorded" in ledger.check("brick", NEW)
    assert head("model", "brick") is not None
    store.close()


def test_a_reduced_context_is_remembered(tmp_path: Path) -> None:
    with Store.open(tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys"), ManualClock()) as store:
        ledger = ModelLedger(store)
        assert ledger.context("brick") == 0
        ledger.keep_context("brick", 4096)
        assert ModelLedger(store).context("brick") == 4096
