"""The keys of connections over TCP: who is let in, and how each side knows the other.

    server.key  the backend's: a line with the public key, a line with the secret one; 0600
    server.pub  its public key, for whoever is to connect
    client.key  a client's, as the backend's
    backend.pub the server.pub of the backend that a client uses over TCP
    allowed/    a file NAME.pub with the public key of each client that is let in

They lie in a folder of their own beside the image's keys. A secret key that others can read is not used: who else has it
can no longer be told.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from a4ps.errors import StorageFailed

_LENGTH = 40


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both in Z85, as ZeroMQ takes them."""

    public: bytes
    secret: bytes = field(repr=False)


def key_pair(folder: Path, name: str) -> KeyPair:
    """The pair in `NAME.key`, made where it is not there, with its public half in `NAME.pub`.

    Raises StorageFailed for one that others can read, that is no key, or that cannot be read or made.
    """
    path = folder / f"{name}.key"
    try:
        if not path.exists():
            _make(folder, name)
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise StorageFailed(
                f"the key {path} is not its owner's alone (mode {stat.S_IMODE(found.st_mode):o}), so it is not used",
                next_step=f"remove {path} and {name}.pub; new ones are made, and clients need the new {name}.pub",
            )
        public, secret = path.read_bytes().split()
        belongs = zmq.curve_public(secret) == public
    except OSError as error:
        raise StorageFailed(f"the key {path} cannot be had: {error.strerror}", next_step=f"ls -l {folder}") from error
    except (ValueError, zmq.ZMQError):
        belongs = False
    if not belongs:
        raise StorageFailed(f"{path} is no pair of keys", next_step=f"remove {path}; a new one is made")
    return KeyPair(public, secret)


def public_key(path: Path) -> bytes:
    """The key in a `.pub` file. Raises StorageFailed."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise StorageFailed(f"the key {path} cannot be read: {error.strerror}", next_step=f"ls -l {path}") from error
    if len(key) != _LENGTH:
        raise StorageFailed(f"{path} is no public key", next_step="copy server.pub of the backend's key folder there")
    return key


def secure(socket: zmq.Socket[bytes], folder: Path) -> None:
    """Have a client's socket show our key, and talk to the backend of `backend.pub` alone. Raises StorageFailed."""
    keys = key_pair(folder, "client")
    socket.setsockopt(zmq.CURVE_SERVERKEY, public_key(folder / "backend.pub"))
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)


def allowed(folder: Path) -> dict[bytes, str]:
    """Key → name of each client that is let in. A file that others can write is none."""
    found: dict[bytes, str] = {}
    for path in sorted((folder / "allowed").glob("*.pub")):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            found[path.read_bytes().strip()] = path.stem
    return found


def next_port(address: str) -> str:
    """Where the events of a backend come from whose commands go to `address`."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + 1}"


def _make(folder: Path, name: str) -> None:
    for each in (folder, folder / "allowed"):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    public, secret = zmq.curve_keypair()
    for file, text, mode in ((f"{name}.pub", public, 0o644), (f"{name}.key", public + b"\n" + secret, 0o600)):
        fresh = folder / f"{file}.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as out:
            out.write(text + b"\n")
        fresh.replace(folder / file)
