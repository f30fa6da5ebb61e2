"""Pictures of the window as PNG files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path


def png(pixels: bytes, width: int, height: int) -> bytes:
    """A PNG of RGB bytes whose first row is the lowest, as the screen gives them."""
    stride = 3 * width
    rows = b"".join(b"\0" + pixels[row * stride : (row + 1) * stride] for row in range(height - 1, -1, -1))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def save(path: Path, pixels: bytes, width: int, height: int) -> None:
    """Raises OSError."""
    path.write_bytes(png(pixels, width, height))
