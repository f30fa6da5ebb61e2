"""Shapes with soft edges as textures: white, computed once for each size, and tinted where they are drawn.

The graphics here have no multisampling, and a software renderer draws a textured rectangle faster than a shader would. The
first row of each is the upper one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from kivy.graphics.texture import Texture
from numpy.typing import NDArray

from a4ps.ui.model.palette import rgb

Alpha: TypeAlias = NDArray[np.float64]

#: No face is computed larger, in px; a larger one is drawn from this.
FACE_MAX = 1024

#: The arc of a value has so many lengths.
ARC_STEPS = 100


def texture_of(alpha: Alpha) -> Any:
    """A white texture with this alpha (rows × columns, 0 to 1)."""
    pixels = np.full((*alpha.shape, 4), 255, np.uint8)
    pixels[..., 3] = np.round(np.clip(alpha, 0, 1) * 255)
    return _made(pixels)


def _made(pixels: NDArray[np.uint8]) -> Any:
    height, width, _ = pixels.shape
    texture = Texture.create(size=(width, height), colorfmt="rgba")
    texture.blit_buffer(pixels.tobytes(), colorfmt="rgba", bufferfmt="ubyte")
    texture.wrap = "clamp_to_edge"
    texture.min_filter = texture.mag_filter = "linear"
    return texture


def _from_centre(size: int) -> tuple[Alpha, Alpha, Alpha]:
    """x, y and distance of each pixel's middle from that of a square."""
    line = np.arange(size) + 0.5 - size / 2
    x, y = np.meshgrid(line, line)
    return x, y, np.hypot(x, y)


@lru_cache(maxsize=64)
def disc(diameter: int) -> Any:
    """A filled circle."""
    return texture_of(diameter / 2 - _from_centre(diameter)[2])


@lru_cache(maxsize=64)
def ring(diameter: int, width: float) -> Any:
    """A circle's line, within the diameter."""
    radius = (diameter - width) / 2
    return texture_of(width / 2 + 0.5 - np.abs(_from_centre(diameter)[2] - radius))


def _arc(diameter: int, width: float, step: int, size: int) -> Alpha:
    """The part `step` / ARC_STEPS of a circle's line, clockwise from the top, with round ends; in the middle of a square."""
    x, y, distance = _from_centre(size)
    radius = (diameter - width) / 2
    line = width / 2 + 0.5 - np.abs(distance - radius)
    if step >= ARC_STEPS:
        return line
    angle = 2 * np.pi * step / ARC_STEPS
    turned = np.mod(np.arctan2(x, -y), 2 * np.pi)
    alpha: Alpha = np.where(turned <= angle, line, 0.0)
    for end in (0.0, angle):
        cap = width / 2 + 0.5 - np.hypot(x - radius * np.sin(end), y + radius * np.cos(end))
        alpha = np.maximum(alpha, cap)
    return alpha


@lru_cache(maxsize=256)
def face(diameter: int, fill: str, colour: str, arc: str, step: int) -> Any:
    """A persona's disc, its ring and its arc of `step` / ARC_STEPS, in their colours: one texture, as each is filled anew
    by a software renderer.
    """
    distance = _from_centre(diameter)[2]
    width = max(3.0, diameter / 26)
    layers = [
        (diameter / 2 - 1 - distance, fill),
        (width / 2 + 0.5 - np.abs(distance - (diameter - width) / 2), colour),
    ]
    within = round(diameter - 2 * width - 8)
    if step and within > 12:
        layers.append((_arc(within, 2.5, step, diameter), arc))
    # Composed with premultiplied alpha, and taken apart again, as the renderer has it.
    pixels = np.zeros((diameter, diameter, 4))
    for alpha, tint in layers:
        share = np.clip(alpha, 0, 1)[..., None]
        pixels = np.array((*rgb(tint), 1.0)) * share + pixels * (1 - share)
    pixels[..., :3] /= np.maximum(pixels[..., 3:], 1e-6)
    return _made(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8))


@lru_cache(maxsize=1)
def glow() -> Any:
    """A light that fades outwards; drawn larger than what it surrounds. It is strongest at 0.7 of the way to its edge."""
    distance = _from_centre(192)[2] / 96
    outer = np.clip((1 - distance) / 0.36, 0, 1)
    inner = np.clip(distance / 0.64, 0, 1)
    return texture_of(outer**2 * (0.25 + 0.75 * inner**6))


@lru_cache(maxsize=32)
def rounded(radius: int) -> Any:
    """A filled square with round corners, 2 × radius + 2 wide: to be stretched in its middle."""
    return texture_of(_box_distance(2 * radius + 2, radius, 0.0))


@lru_cache(maxsize=32)
def outlined(radius: int) -> Any:
    """Its edge alone, 1 px wide."""
    size = 2 * radius + 4
    filled = np.clip(_box_distance(size, radius, 0.0), 0, 1)
    inside = np.clip(_box_distance(size, radius, 1.0), 0, 1)
    return texture_of(filled - inside)


def _box_distance(size: int, radius: float, inset: float) -> Alpha:
    """How far within a rounded square each pixel lies, plus a half: an alpha when it is cut to 0 … 1."""
    x, y, _ = _from_centre(size)
    radius = max(0.0, radius - inset)
    half = size / 2 - inset - radius
    outside = np.hypot(np.maximum(np.abs(x) - half, 0), np.maximum(np.abs(y) - half, 0))
    inside = np.minimum(np.maximum(np.abs(x) - half, np.abs(y) - half), 0)
    alpha: Alpha = radius + 0.5 - outside - inside
    return alpha


#: A shadow reaches so far beyond what casts it.
SHADOW = 14


@lru_cache(maxsize=1)
def shadow() -> Any:
    """A blurred square, to be stretched in its middle."""
    size = 4 * SHADOW + 2
    x, y, _ = _from_centre(size)
    half = size / 2 - 2 * SHADOW
    distance = np.hypot(np.maximum(np.abs(x) - half, 0), np.maximum(np.abs(y) - half, 0))
    return texture_of(np.clip(1 - distance / (2 * SHADOW), 0, 1) ** 2)


@lru_cache(maxsize=1)
def soft() -> Any:
    """A square whose edge fades, strong up to near it."""
    size = 64
    x, y, _ = _from_centre(size)
    inside = size / 2 - np.maximum(np.abs(x), np.abs(y))
    return texture_of(np.clip(inside / (0.2 * size), 0, 1))


@lru_cache(maxsize=1)
def stroke() -> Any:
    """Across a line: its soft edges."""
    return texture_of(np.array([[0.0, 1.0, 1.0, 0.0]]))


def forget() -> None:
    """Let all of them go: they belong to a window that is gone."""
    for each in (disc, ring, face, glow, rounded, outlined, shadow, soft, stroke):
        each.cache_clear()
