"""The four personas: the codices they ship with (`codices/*.toml`), and how they become Protos of an image.

Once enrolled, a persona is the image's: what the Architect changed in it stays, whatever the package ships later.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from a4ps.errors import Conflict
from a4ps.image.codex import Codex
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.personas.names import NAMES as NAMES

#: A codex with this model speaks with the one that the profile and the settings give it.
BY_PROFILE = "by profile"

PACKAGE = "package"


@cache
def shipped_codices() -> Mapping[str, Codex]:
    """Name → codex as shipped, in the order of `NAMES`."""
    folder = resources.files(__package__).joinpath("codices")
    codices = {}
    for name in NAMES:
        fields = tomllib.loads(folder.joinpath(f"{name.lower()}.toml").read_text(encoding="utf-8"))
        prompt = str(fields["system_prompt"]).strip()
        codices[name] = Codex.from_mapping({**fields, "system_prompt": prompt, "model_name": BY_PROFILE})
    return codices


def enrol(manager: ProtoManager) -> None:
    """Register each persona that the image does not have. Several threads may do so at once. Raises what a commit raises."""
    for name, codex in shipped_codices().items():
        if name not in manager:
            try:
                manager.register_proto(Proto(name, codex), author=PACKAGE, reason="ships with A4PS")
            except Conflict:
                if name not in manager:  # else somebody else was first
                    raise
