"""How a persona glows: cognitive load as radius and strength, with a pulse that dies away once the load is steady. Pure.

The pulse has at most 15 steps a second, each the same for whoever asks, so that a view draws only when `next_s` says so,
and nothing at rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Steps a second, of eases and pulses alike.
STEPS_PER_S = 15.0
#: What changes eases into its new value within so long.
EASE_S = 0.15
#: The pulse is gone so long after the load last moved.
PULSE_S = 2.0
#: Beats a second at full load; half of that at none.
BEATS_PER_S = 1.4
#: What the load has to move by to be seen.
LEAST = 0.02
#: How much of the glow the pulse takes away and gives at most.
DEPTH = 0.3


def eased(fraction: float) -> float:
    """How far an ease is at a fraction of its time: slow, fast, slow; 0 before it and 1 after it."""
    x = min(1.0, max(0.0, fraction))
    return x * x * (3 - 2 * x)


@dataclass(frozen=True, slots=True)
class Look:
    """What is drawn: how far the glow reaches beyond the ring, in px of a ring of 56 px, and how strong it is, 0 to 1."""

    reach: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Glow:
    """A glow on its way from one load to another. Times are seconds of a clock that only goes forward."""

    origin: float = 0.0
    target: float = 0.0
    since_s: float = -math.inf

    def towards(self, load: float, now_s: float) -> Glow:
        """Going to another load from where it is now; the same where that is none that could be seen."""
        load = min(1.0, max(0.0, load)) if math.isfinite(load) else 0.0
        if abs(load - self.target) < LEAST and not (load == 0.0 < self.target):
            return self
        return Glow(self._load(now_s), load, now_s)

    def look(self, now_s: float) -> Look:
        """How it is drawn now. It is the same until `next_s`."""
        stepped = self._stepped(now_s)
        load = self._load(stepped)
        age = stepped - self.since_s
        fading = max(0.0, 1 - age / PULSE_S) if math.isfinite(age) else 0.0
        beats = BEATS_PER_S * (0.5 + self.target / 2)
        pulse = DEPTH * fading * math.sin(2 * math.pi * beats * age) if fading else 0.0
        strength = load * (1 + pulse)
        return Look(4 + 30 * strength, 0.12 + 0.55 * min(1.0, strength))

    def next_s(self, now_s: float) -> float | None:
        """When it is to be drawn again; None where it is still."""
        if now_s - self.since_s >= PULSE_S:
            return None
        return self.since_s + (math.floor((now_s - self.since_s) * STEPS_PER_S + 1e-6) + 1) / STEPS_PER_S

    def _stepped(self, now_s: float) -> float:
        age = now_s - self.since_s
        if not math.isfinite(age) or age >= PULSE_S:
            return self.since_s + PULSE_S if math.isfinite(age) else now_s
        return self.since_s + math.floor(age * STEPS_PER_S + 1e-6) / STEPS_PER_S

    def _load(self, now_s: float) -> float:
        age = now_s - self.since_s
        return self.origin + (self.target - self.origin) * eased(age / EASE_S if math.isfinite(age) else 1.0)
