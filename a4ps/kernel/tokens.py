"""The tokens that say a session's role: one file each, beside the keys, readable by their owner alone."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from a4ps.errors import StorageFailed
from a4ps.governance.roles import Role
from a4ps.image.keys import make_folder, tighten

_BYTES = 32


class Tokens:
    """The tokens in one folder, made where they are not there. Raises StorageFailed where that cannot be."""

    def __init__(self, folder: Path) -> None:
        try:
            make_folder(folder)
            tighten(folder, 0o700)
            self._known = {role: _read_or_make(folder / f"{role.label}.token") for role in Role}
        except OSError as error:
            raise StorageFailed(
                f"the tokens in {folder} cannot be had: {error.strerror}", next_step=f"ls -ld {folder}"
            ) from error

    def role_of(self, token: str) -> Role | None:
        """The role of whoever shows `token`; None for one that is nobody's. Takes as long whatever is wrong."""
        found = [role for role, known in self._known.items() if hmac.compare_digest(known.encode(), token.encode())]
        return found[0] if found else None

    def of(self, role: Role) -> str:
        return self._known[role]


def _read_or_make(path: Path) -> str:
    try:
        tighten(path, 0o600)
        token = path.read_text(encoding="ascii", errors="replace").strip()
        if len(token) >= _BYTES:
            return token
    except FileNotFoundError:
        pass
    token = secrets.token_urlsafe(_BYTES)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(token)
    fresh.replace(path)
    return token
