"""The names of the four personas, for those who need no more of them."""

from __future__ import annotations

#: The order in which the four are named to the user.
NAMES = ("ALFRED", "BRICK", "ROBIN", "BABS")
