"""What all requests share: their name on the wire, the role they need, and the type of the object they give."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from a4ps.errors import ProtocolError
from a4ps.governance.roles import Role
from a4ps.protocol.codec import explained


def _path(text: str) -> str:
    if not text.startswith("/") or "\0" in text or len(text) > _PATH_CHARS:
        raise ValueError(f"not an absolute path of at most {_PATH_CHARS:,} characters")
    return text


_PATH_CHARS = 4_096

#: The absolute path of a file or folder of this machine. No `Field` bounds it: they refuse names that are not UTF-8.
FilePath = Annotated[str, AfterValidator(_path)]

_KNOWN: dict[str, type[Request]] = {}


class Request(BaseModel):
    """One kind of command. A class of it says `name="..."`, the role it `needs` and the type that it `gives`.

    `again`: whether it may simply be done once more where it is not known what became of it, as reading may. `once`: it is
    never sent to another backend than the one that it was first sent to, as nobody could say whether it was done.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: ClassVar[str]
    needs: ClassVar[Role]
    gives: ClassVar[type]
    again: ClassVar[bool]
    once: ClassVar[bool]

    def __init_subclass__(
        cls,
        *,
        name: str,
        gives: type,
        needs: Role = Role.CLIENT,
        again: bool = False,
        once: bool = False,
        **rest: Any,
    ) -> None:
        super().__init_subclass__(**rest)
        cls.name, cls.needs, cls.gives, cls.again, cls.once = name, needs, gives, again, once
        if name in _KNOWN:
            raise TypeError(f"two requests are called {name}")
        _KNOWN[name] = cls

    def as_wire(self) -> dict[str, Any]:
        """The `request` of a command."""
        return {"do": self.name, **self.model_dump()}


def known_requests() -> dict[str, type[Request]]:
    """Name → class of every request."""
    from a4ps.protocol import requests  # noqa: F401 - whose import defines them all

    return dict(sorted(_KNOWN.items()))


def request_of(wire: dict[str, Any]) -> Request:
    """The request in a command. Raises `ProtocolError` for an unknown or ill-formed one."""
    fields = dict(wire)
    name = fields.pop("do", None)
    kind = known_requests().get(name) if isinstance(name, str) else None
    if kind is None:
        asked = f" {name[:40]!r}" if isinstance(name, str) else " of that kind"
        raise ProtocolError(f"there is no request{asked}", next_step="see PROTOCOL.md")
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise ProtocolError(f"{kind.name}: {explained(error)}", next_step="see PROTOCOL.md") from error
