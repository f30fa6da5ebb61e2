"""Model files that were damaged or made up, each with a word for what was done to it. The same for the same seed."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Iterator

from tests.doubles.gguf_file import Tensor, adapter, gguf, model

_NUMBERS = (0, 1, 7, 255, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def mutants(chance: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` files, of each way about as many."""
    ways = (flipped, cut, blown, scrambled, foreign, strange, grown)
    for number in range(count):
        way = ways[number % len(ways)]
        yield way.__name__, way(chance)


def flipped(chance: random.Random) -> bytes:
    """One to eight bits of the header flipped."""
    data = bytearray(_some(chance))
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(_header_end(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def cut(chance: random.Random) -> bytes:
    data = _some(chance)
    return data[: chance.randrange(len(data))]


def blown(chance: random.Random) -> bytes:
    """A 32 or 64 bit number written over some place of the header, most often over another number."""
    data = bytearray(_some(chance))
    form = chance.choice(("<I", "<Q"))
    at = chance.choice((8, 16, 24, chance.randrange(_header_end(data) - 8)))
    struct.pack_into(form, data, at, chance.choice(_NUMBERS) & (2**32 - 1 if form == "<I" else 2**64 - 1))
    return bytes(data)


def scrambled(chance: random.Random) -> bytes:
    """A run of the header replaced by garbage, moved, or repeated."""
    data = _some(chance)
    start = chance.randrange(4, _header_end(data))
    length = chance.randint(1, 200)
    middle = chance.choice((chance.randbytes(length), data[start : start + length] * 2, b""))
    return data[:start] + middle + data[start + length :]


def foreign(chance: random.Random) -> bytes:
    """What is no GGUF file, or is nothing but its first bytes."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("model.gguf", model())
    prefix = struct.pack("<IQQ", chance.choice((2, 3)), chance.choice(_NUMBERS), chance.choice(_NUMBERS))
    return chance.choice(
        (
            zipped.getvalue(),
            ("".join(chance.choices("abc \n{}", k=500))).encode(),
            chance.randbytes(chance.randint(0, 4000)),
            b"GGUF" + prefix + chance.randbytes(chance.randint(0, 4000)),
            b"GGUF" + prefix + bytes(chance.randint(0, 4000)),
        )
    )


def strange(chance: random.Random) -> bytes:
    """Well-formed, but of an architecture or with numbers that no model has."""
    name = "".join(chance.choices("abcdefgh-_.\x1b\u00e9 ", k=chance.randint(1, 30)))
    keys = ("block_count", "embedding_length", "attention.head_count", "attention.sliding_window", "context_length")
    metadata = {"general.architecture": name, **{f"{name}.{key}": chance.choice(_NUMBERS) for key in keys}}
    tensors = [Tensor(f"blk.{chance.choice(_NUMBERS)}.attn_k.weight", (8, 4)), Tensor("token_embd.weight", (8,))]
    return gguf(metadata, tensors) if chance.random() < 0.5 else model(**{"general.architecture": name})


def grown(chance: random.Random) -> bytes:
    """More behind the last tensor, keys that are long, arrays that are large."""
    return chance.choice(
        (
            _some(chance) + chance.randbytes(chance.randint(1, 5000)),
            model(**{"k" * chance.randint(1, 600): "v" * chance.randint(0, 50_000)}),
            model(extra=[chance.randint(0, 9)] * chance.randint(1, 20_000)),
            gguf(
                {"general.architecture": "x"}, [Tensor(f"t{number}", (8,)) for number in range(chance.randint(1, 300))]
            ),
        )
    )


def _some(chance: random.Random) -> bytes:
    return chance.choice((model(), adapter()))


def _header_end(data: bytes | bytearray) -> int:
    return min(len(data), data.rindex(b".weight") + 48)
