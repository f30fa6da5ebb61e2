"""A JSON schema as llama.cpp's grammars can keep it, be it embedded here or within Ollama.

Those grammars bound whole numbers only: a confidence between 0 and 1 could come out as 10.3, or as -3e9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: Into how many equal steps a bounded fraction is divided.
STEPS = 100


def stepped(schema: Any) -> Any:
    """`schema` whose fractions between two bounds are a choice of 101 equal steps.

    Everything else stays as it is. Raises nothing, also for what is no schema.
    """
    if isinstance(schema, list):
        return [stepped(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    low, high = _finite(schema.get("minimum")), _finite(schema.get("maximum"))
    if schema.get("type") == "number" and low is not None and high is not None and low <= high:
        digits = max(0, 2 - math.floor(math.log10(high - low))) if high > low else 6
        steps = (round(low + (high - low) * step / STEPS, digits) for step in range(STEPS + 1))
        return {"enum": list(dict.fromkeys(min(max(step, low), high) for step in steps))}
    return {key: value if key in ("enum", "const") else stepped(value) for key, value in schema.items()}


def _finite(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None
