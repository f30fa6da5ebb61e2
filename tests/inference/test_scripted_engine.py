"""The scripted engine keeps the engines' contract, so that what tests show with it holds for the others."""

from __future__ import annotations

import pytest

from a4ps.inference import lexical
from tests.contracts.engine_contract import EngineContract
from tests.doubles.scripted_engine import MODEL, ScriptedEngine


class TestScriptedEngine(EngineContract):
    @pytest.fixture
    def model(self) -> str:
        return MODEL

    @pytest.fixture
    def embedder(self) -> str:
        return lexical.NAME

    @pytest.fixture
    async def engine(self) -> ScriptedEngine:
        return ScriptedEngine()
