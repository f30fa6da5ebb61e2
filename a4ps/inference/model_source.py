"""Where a model file comes from: an https address, or `hf:OWNER/REPO/FILE.gguf` on the hub. Pure.

`#sha256=HEX` behind either says which bytes are wanted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from a4ps.errors import UsageError
from a4ps.inference.ollama_wire import is_loopback

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,150}\.gguf")
_HUB_ID = re.compile(
    r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)/((?:[\w+-][\w.+ -]*/)*[\w+-][\w.+ -]*\.gguf)", re.ASCII
)
_HELP = "give it as hf:OWNER/REPO/FILE.gguf or https://HOST/FILE.gguf, with #sha256=... where you know it"


@dataclass(frozen=True, slots=True)
class Source:
    """`name` is the source as the user gave it, without the hash; `sha256` is "" where none was given."""

    name: str
    url: str
    file_name: str
    sha256: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is a server on this machine; only such a one may be asked without TLS."""
        return is_loopback(self.url)


def parse_source(text: str, hub: str) -> Source:
    """What `text` names; `hub` is where `hf:` leads, or a mirror, which has the same paths.

    Raises `UsageError` for anything that is not a GGUF file by https or on the hub.
    """
    name, _, fragment = text.strip().partition("#")
    sha256 = _sha256(fragment, text)
    if name.startswith("hf:"):
        match = _HUB_ID.fullmatch(name.removeprefix("hf:"))
        if match is None or ".." in name:
            raise UsageError(f"{text!r} names no GGUF file of the hub", next_step=_HELP)
        owner, repo, path = match.groups()
        url = f"{hub.rstrip('/')}/{owner}/{repo}/resolve/main/{quote(path)}"
    else:
        url = name
    check_address(url, local=is_loopback(url))
    file_name = unquote(urlsplit(url).path).rpartition("/")[2].replace(" ", "_")
    if not _NAME.fullmatch(file_name):
        raise UsageError(f"{file_name[:80]!r} cannot be the name of a model file", next_step=_HELP)
    return Source(name, url, file_name, sha256)


def check_address(url: str, *, local: bool) -> None:
    """Raises `UsageError` unless `url` may be asked: by https, or where `local` holds, on this machine by http."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url[:200]!r} is no address: {error}", next_step=_HELP) from error
    if "@" in parts.netloc:
        raise UsageError("an address with a password in it is not used: it would be kept", next_step=_HELP)
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and local and is_loopback(url))):
        raise UsageError(f"{url[:200]!r} is not asked: only https is", next_step=_HELP)


def _sha256(fragment: str, text: str) -> str:
    if not fragment:
        return ""
    kind, _, digest = fragment.partition("=")
    if kind != "sha256" or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise UsageError(f"what follows # in {text[:200]!r} is no sha256", next_step=_HELP)
    return digest.lower()
