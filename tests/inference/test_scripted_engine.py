"""The scripted engine keeps the engines' contract, so that what tests show with it holds for the others."""

from __future__ import annotations

import pytest

from tests.contracts.engine_contract import EngineContract
from tests.doubles.scripted_engine import MODEL, ScriptedEngine


class TestScriptedEngine(EngineContract):
    @pytest.fixture
    def model(self) -> str:
        return MODEL

    @pytest.fixture
    async def engine(self) -> ScriptedEngine:
        return ScriptedEngine()
