"""Finds what of this machine a sandbox is made of, and lays it out in an executor's folder."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from a4ps.errors import SandboxUnavailable
from a4ps.sandbox.policy import GUEST_DIR, PACKAGES_DIR, PYTHON_DIR, Bind, Layout, python_binds

GUEST_FILES = ("guest.py", "guest_pipes.py", "supervisor.py", "worker.py", "wire.py", "wire_kinds.py")
#: What may be imported in a sandbox beyond the standard library, where this Python has it.
PACKAGES = ("numpy",)
_ZONES = "/usr/share/zoneinfo"


def lay_out(folder: Path) -> Layout:
    """Make the root and the guest program in `folder`. Raises SandboxUnavailable where this Python cannot be shown."""
    guest = folder / "guest"
    package = guest / "a4ps" / "sandbox"
    package.mkdir(parents=True, exist_ok=True)
    for name in GUEST_FILES:
        (package / name).write_bytes((Path(__file__).parent / name).read_bytes())
    binds, links = _libraries()
    binds = (*binds, *_python(), *_packages(), Bind(str(guest), GUEST_DIR))
    if str(Path(_ZONES).resolve()) == _ZONES and Path(_ZONES).is_dir():
        binds = (*binds, Bind(_ZONES, _ZONES))
    root = folder / "root"
    _make_root(root, binds, links)
    _open_to_all(guest)
    return Layout(str(root), binds, links)


def _make_root(root: Path, binds: Sequence[Bind], links: Sequence[tuple[str, str]]) -> None:
    """Empty folders and files to mount on; what is mounted inside a mounted folder is not among them."""
    for name in ("proc", "dev", "tmp", *(bind.target[1:] for bind in binds)):
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if any(bind.target[1:] == name and not Path(bind.source).is_dir() for bind in binds):
            place.touch()
        else:
            place.mkdir(exist_ok=True)
    for name, leads_to in links:
        (root / name).symlink_to(leads_to)
    _open_to_all(root)


def _open_to_all(folder: Path) -> None:
    for made in (folder, *folder.rglob("*")):
        if not made.is_symlink():
            made.chmod(0o755 if made.is_dir() else 0o644)


def _python() -> tuple[Bind, ...]:
    """The interpreter below any virtual environment: the same version as ours, with its standard library."""
    executable = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    if not executable.is_file() or not (stdlib / "os.py").is_file():
        raise SandboxUnavailable(
            f"the Python at {executable} has no standard library beside it that a sandbox could be given",
            next_step="run A4PS with an ordinary Python 3.11 or newer",
        )
    library = Path(str(sysconfig.get_config_var("LIBDIR")), str(sysconfig.get_config_var("INSTSONAME")))
    shared = str(library.resolve()) if sysconfig.get_config_var("Py_ENABLE_SHARED") and library.is_file() else ""
    binds = python_binds(str(executable), str(stdlib), shared)
    if shared:  # found by the name that it is linked as
        binds = (*binds[:-1], Bind(shared, f"{PYTHON_DIR}/lib/{library.name}"))
    return binds


def packages() -> tuple[str, ...]:
    """Those of PACKAGES that are installed here, and so in every sandbox. None of them is imported to find out."""
    return tuple(name for name in PACKAGES if _folder_of(name) is not None)


def _packages() -> tuple[Bind, ...]:
    """Each package, with the shared libraries that a wheel keeps beside it."""
    binds: list[Bind] = []
    for name in packages():
        folder = _folder_of(name)
        assert folder is not None
        beside = folder.parent / f"{name}.libs"
        binds += [Bind(str(each), f"{PACKAGES_DIR}/{each.name}") for each in (folder, beside) if each.is_dir()]
    return tuple(binds)


def _folder_of(package: str) -> Path | None:
    found = importlib.util.find_spec(package)
    if found is None or not found.origin or not found.submodule_search_locations:
        return None
    return Path(found.origin).resolve().parent


def _libraries() -> tuple[tuple[Bind, ...], tuple[tuple[str, str], ...]]:
    """The system's shared libraries, and the links of a merged /usr."""
    links = [
        (top, str(Path("/", top).resolve().relative_to("/"))) for top in ("lib", "lib64") if Path("/", top).is_symlink()
    ]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    wanted = [f"/usr/lib/{multiarch}"] if Path(f"/usr/lib/{multiarch}").is_dir() else ["/usr/lib"]
    wanted += [folder for folder in (f"/lib/{multiarch}", "/lib64", "/usr/lib64") if Path(folder).is_dir()]
    real = [folder for folder in wanted if str(Path(folder).resolve()) == folder]
    return tuple(Bind(folder, folder) for folder in real), tuple(links)
