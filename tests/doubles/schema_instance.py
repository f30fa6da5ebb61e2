"""Builds a value that a JSON schema admits, as a model under Ollama's grammar would.

Covers what Pydantic writes: objects, arrays, strings, numbers, booleans, null, enum, const, $ref, anyOf/oneOf/allOf and
the usual bounds. Does not cover pattern, uniqueItems, dependent schemas, nor recursion without an end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

_SENTENCES = (
    "The plain reading holds up best.",
    "One source says so, and none denies it.",
    "It would fail if the first premise fell.",
    "A smaller step can be tried before a large one.",
    "What remains open is the cost.",
)


def instance(schema: Mapping[str, Any]) -> Any:
    """The same value for the same schema, each time."""
    return _Builder(schema).value(schema)


class _Builder:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._sentences: Iterator[str] = cycle(_SENTENCES)
        self._picks = 0

    def value(self, schema: Mapping[str, Any]) -> Any:
        if "$ref" in schema:
            return self.value(self._resolve(str(schema["$ref"])))
        if "const" in schema:
            return schema["const"]
        if "" in schema.get("enum", ()):
            return ""  # a choice that may be left open
        if "enum" in schema:
            self._picks += 1
            return schema["enum"][(self._picks - 1) % len(schema["enum"])]
        for key in ("anyOf", "oneOf"):
            if key in schema:
                options = [option for option in schema[key] if option.get("type") != "null"]
                return self.value(options[0]) if options else None
        if "allOf" in schema:
            merged: dict[str, Any] = {}
            for part in schema["allOf"]:
                merged |= self._resolve(str(part["$ref"])) if "$ref" in part else part
            return self.value(merged)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        return getattr(self, f"_{kind}")(schema)

    def _resolve(self, reference: str) -> Mapping[str, Any]:
        found: Any = self._root
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        return dict(found)

    def _object(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.value(part) for name, part in schema.get("properties", {}).items()}

    def _array(self, schema: Mapping[str, Any]) -> list[Any]:
        first = [self.value(part) for part in schema.get("prefixItems", ())]
        least, most = int(schema.get("minItems", 0)), int(schema.get("maxItems", 10**6))
        wanted = min(max(2, least), most)
        return first + [self.value(schema.get("items", {})) for _ in range(wanted - len(first))]

    def _string(self, schema: Mapping[str, Any]) -> str:
        text = next(self._sentences)
        while len(text) < int(schema.get("minLength", 0)):
            text += " " + next(self._sentences)
        return text[: int(schema.get("maxLength", len(text)))]

    def _number(self, schema: Mapping[str, Any]) -> float:
        low = float(schema.get("minimum", schema.get("exclusiveMinimum", -math.inf)))
        high = float(schema.get("maximum", schema.get("exclusiveMaximum", math.inf)))
        if math.isinf(low) and math.isinf(high):
            return 0.7
        if math.isinf(low) or math.isinf(high):
            return low + 1.5 if math.isinf(high) else high - 1.5
        return round(low + (high - low) * 0.7, 6)

    def _integer(self, schema: Mapping[str, Any]) -> int:
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 3) - 1)
        return int(math.ceil(low) + (math.floor(high) - math.ceil(low)) // 2)

    def _boolean(self, schema: Mapping[str, Any]) -> bool:
        self._picks += 1
        return self._picks % 2 == 1

    def _null(self, schema: Mapping[str, Any]) -> None:
        return None
