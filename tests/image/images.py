"""A portable image with something of every kind in it, for the tests of the file and of the text export."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from a4ps.image.codec import encode_slot, opaque
from a4ps.image.snapshot import MethodSnapshot, PortableImage, PortableRecord, ProtoSnapshot
from tests.image.plain_values import Point

CREATED = datetime(2026, 11, 22, 11, 30, tzinfo=UTC)
GREET = 'def greet(self, name):\n    """Say hello."""\n    return f"Hello, {name} — I am {self.state[\'mood\']}"\n'


def slots(values: dict[str, Any]) -> dict[str, bytes]:
    return {name: encode_slot(value, f"state[{name!r}]") for name, value in values.items()}


def an_image(*, with_opaque: bool = True) -> PortableImage:
    """The same each time it is made, apart from what dill writes."""
    shared = ["shared"]
    brick = ProtoSnapshot(
        "BRICK",
        {
            "role": "logic, thesis",
            "model_name": "qwen3.5:9b",
            "system_prompt": 'You are BRICK.\nState "premises" first.\n',
            "temperature": 0.5,
            "pillars": ["premises before conclusions"],
            "extra": {"nothing": None, "deep": {"n": 2**40}},
        },
        ("base",),
        {
            "greet": MethodSnapshot(GREET, "architect", "says hello", ("mood",), ()),
            "no_newline": MethodSnapshot("def no_newline(self): return 1", "model:qwen3.5"),
        },
        slots(
            {
                "mood": "calm",
                "counts": {"a": 1, "b": [1.5, None, True]},
                "aliases": [shared, shared],
                "seen": {3, 1, 2},
                "when": CREATED,
                "points": (Point(1, {"x": b"\x00\xff"}),),
                **({"native": opaque(Point(1, 2))} if with_opaque else {}),
            }
        ),
    )
    base = ProtoSnapshot("base", {"role": "r", "model_name": "m", "system_prompt": ""})
    odd = ProtoSnapshot("../Über/ .\n", {"role": "r", "$json": "x"}, (), {}, slots({"a/b": 1, "": 2}))
    other = ProtoSnapshot("brick", {"role": "same letters"})
    turn = json.dumps({"question": "Wer bist du?", "n": 1}, ensure_ascii=False, separators=(",", ":")).encode()
    return PortableImage(
        CREATED,
        {proto.name: proto for proto in (brick, base, odd, other)},
        {
            "BRICK": ({"act": "register", "at": "2026-11-22"}, {"act": "swap", "evidence": {"turns": [1, 2]}}),
            "gone": ({"act": "removed"},),
        },
        (
            PortableRecord("turn", "1", turn, CREATED, "Wer bist du?"),
            PortableRecord("reply", "1", b'{ "spaced": true }', CREATED + timedelta(seconds=1)),
            PortableRecord("vector", "1", b"\x00\x01\xff", CREATED),
        ),
        "3.11",
    )
