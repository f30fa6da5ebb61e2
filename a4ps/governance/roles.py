"""Who a session speaks for, and what each of them may ask of the backend. A role comes from a token, not from a message."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """Each may what those below it may. `guest`: other programs that ask and search. `client`: what looks at and adds to the
    image. `architect`: what only the owner decides: approve, promote, import, forget, evaluate, end the backend.
    """

    GUEST = 1
    CLIENT = 2
    ARCHITECT = 3

    @property
    def label(self) -> str:
        """The name by which people and files call it."""
        return self.name.lower()


def may(role: Role, needed: Role) -> bool:
    """Whether a session of `role` may do what needs `needed`."""
    return role >= needed
