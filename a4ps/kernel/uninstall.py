"""Taking away what A4PS has made for an account: first the plan, then its removal.

Only what A4PS names is removed, path by path; a folder goes once it is empty. Links are removed and never followed, and
what belongs to another account stays. A plan that was carried out in part is found and finished by the next one: what says
that a home is ours, its settings and its image, goes last.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from a4ps.errors import StorageFailed
from a4ps.image.drafts import PREFIX
from a4ps.image.exchange import beside
from a4ps.image.kept_images import BESIDE, kept_beside
from a4ps.image.salvage import WORKPLACE
from a4ps.inference.local_models import SUFFIX, record_path
from a4ps.kernel.autostart import Autostart
from a4ps.places import Places
from a4ps.sandbox.folders import base_path, sweep

#: How names end that a download gives; a model file itself is one of ours where its record says so.
_OF_DOWNLOADS = (f"{SUFFIX}.json", f"{SUFFIX}.part", f"{SUFFIX}.part.json")
#: What the key folder has for an image, after the image's id.
_OF_KEYS = (".key", ".key-new", ".witness", ".witness-new")
_LOCK = ".lock"
_FOREIGN = "A4PS did not make it"


@dataclass(frozen=True, slots=True)
class Removal:
    """Something that goes, known by `path`: all of `paths`, in that order."""

    what: str
    path: Path
    paths: tuple[Path, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that stays, and why."""

    path: Path
    why: str
    size_bytes: int


@dataclass(slots=True)
class Plan:
    """`removals` in their order, then `folders` as far as they are empty."""

    removals: list[Removal] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.removals and not any(each.is_dir() and not _entries(each) for each in self.folders)

    def remove(self, what: str, path: Path, paths: Iterable[Path] | None = None) -> None:
        """Plan it as far as it is there and this account's."""
        there = [each for each in (paths if paths is not None else (path,)) if os.path.lexists(each)]
        ours = tuple(each for each in there if each.lstat().st_uid == os.getuid())
        for each in there:
            if each not in ours:
                self.keep(each, "it belongs to another account")
        if ours:
            self.removals.append(Removal(what, path, ours, sum(map(size_of, ours))))

    def keep(self, path: Path, why: str, paths: Iterable[Path] | None = None) -> None:
        """Say that it stays, where it is there; `paths` make up its size."""
        if os.path.lexists(path):
            self.kept.append(Kept(path, why, sum(map(size_of, paths if paths is not None else (path,)))))


def plan_of(places: Places, usual: Places, autostart: Autostart, *, everything: bool, others_run: bool) -> Plan:
    """What is to go of one home, and of what its account has beside it. Changes nothing.

    `everything` takes image, settings and keys as well. `usual` is where A4PS lives when nobody says otherwise: such a
    home is ours by its place. `others_run`: a backend of another home does.
    """
    plan = Plan()
    shared_with = _shared_with(places, usual, others_run=others_run)
    if autostart.unit is not None:
        if shared_with:
            plan.keep(autostart.unit, shared_with)
        else:
            plan.remove("autostart", autostart.unit, (*autostart.enabled, autostart.unit))
            plan.keep(autostart.unit.with_name(f"{autostart.unit.name}.d"), _FOREIGN)
    ours = _is_ours(places, usual)
    if ours:
        _plan_home(plan, places, everything=everything)
    _plan_state(plan, places, everything=everything, shared_with=shared_with)
    plan.remove("run-time folder", places.run)
    if ours and everything:
        _plan_data(plan, places)
    plan.folders += [places.keys, places.state, places.run_base, base_path()]
    if ours and everything:
        if places.home.is_symlink():
            plan.keep(places.home, "it is a link, and A4PS did not make it")
        plan.folders.append(places.home)
    return plan


def carry_out(plan: Plan) -> None:
    """Raises StorageFailed at the first that cannot be removed."""
    sweep(base_path())
    for removal in plan.removals:
        for path in removal.paths:
            try:
                _remove(path)
            except OSError as error:
                raise StorageFailed(
                    f"{error.filename or path} cannot be removed: {error.strerror}",
                    next_step="mend that, and do it again: the rest follows",
                ) from error
    for folder in plan.folders:
        with suppress(OSError):  # it is not empty, not there, or a link
            folder.rmdir()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links count as themselves, what cannot be read as nothing."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    if not stat.S_ISDIR(found.st_mode):
        return found.st_size
    return sum(size_of(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _shared_with(places: Places, usual: Places, *, others_run: bool) -> str:
    """Who else uses tokens, log and autostart; "" for nobody."""
    if places.home.resolve() != usual.home.resolve() and usual.image.exists():
        return f"the image in {usual.home} uses it as well"
    return "the backend of another home, which runs, uses it as well" if others_run else ""


def _is_ours(places: Places, usual: Places) -> bool:
    signs = (places.settings_file, *_files_of(places.image), *kept_beside(places.image))
    return places.home.is_dir() and (places.home == usual.home or any(map(os.path.lexists, signs)))


def _plan_home(plan: Plan, places: Places, *, everything: bool) -> None:
    images = (places.image, *kept_beside(places.image))
    data = {places.settings_file, *(file for image in images for file in _files_of(image))}
    if not everything:
        plan.keep(places.image, "the image", _files_of(places.image))
        for image in images[1:]:
            plan.keep(image, "an earlier image", _files_of(image))
        plan.keep(places.settings_file, "the settings")
    cache = places.checkpoints.parent
    for path in _entries(places.home):
        if path.is_symlink() and (everything or path not in data):
            plan.keep(path.resolve(), f"{path} is a link to it")
        if path == places.models:
            _plan_folder(plan, "models", path, [each for each in _entries(path) if _is_downloaded(each)])
        elif path == cache:
            ours = {places.scrapbook, *_files_of(places.checkpoints)}
            _plan_folder(plan, "cache", path, [each for each in _entries(path) if each in ours])
        elif path in (places.chat_history, places.console_history):
            plan.remove("what was typed", path)
        elif path.name.startswith((PREFIX, WORKPLACE)):
            plan.remove("left over", path)
        elif path not in data:
            plan.keep(path, _FOREIGN)


def _plan_folder(plan: Plan, what: str, folder: Path, ours: list[Path]) -> None:
    """A folder of ours in which a person may have put something."""
    if folder.is_symlink():
        plan.remove(what, folder)
        return
    plan.remove(what, folder, ours)
    for path in _entries(folder):
        if path not in ours:
            plan.keep(path, _FOREIGN)
    plan.folders.append(folder)


def _is_downloaded(path: Path) -> bool:
    return path.name.endswith(_OF_DOWNLOADS) or (path.name.endswith(SUFFIX) and record_path(path).is_file())


def _plan_state(plan: Plan, places: Places, *, everything: bool, shared_with: str) -> None:
    logs = [path for path in _entries(places.state) if path.name.startswith(places.log.name)]
    if shared_with:
        for path in (*logs, places.crashes, places.tokens, *([places.curve] if everything else [])):
            plan.keep(path, shared_with)
    else:
        plan.remove("log", places.log, logs)
        plan.remove("crash reports", places.crashes)
        plan.remove("tokens", places.tokens)
        if everything:
            plan.remove("keys for TCP", places.curve)
    for path in _entries(places.state):
        if path not in (*logs, places.crashes, places.keys):
            plan.keep(path, _FOREIGN)
    going = _keys_of(places) if everything else []
    elsewhere = (places.tokens, *([places.curve] if everything else []))
    staying = [path for path in _entries(places.keys) if path not in (*going, *elsewhere)]
    if not everything and staying:
        plan.keep(places.keys, "the keys, without which no image and no backup opens", staying)
        return
    for path in staying:
        if path.suffix not in _OF_KEYS:
            plan.keep(path, _FOREIGN)
        elif path.suffix == ".key":
            plan.keep(path, "the key of another image, or of one that cannot be read")


def _plan_data(plan: Plan, places: Places) -> None:
    """The image last: as long as it is there, what was cut off is found to be unfinished. Its lock keeps others off."""
    plan.remove("keys", places.keys, _keys_of(places))
    for image in kept_beside(places.image):
        plan.remove("earlier image", image, reversed(_files_of(image)))
    plan.remove("settings", places.settings_file)
    lock = beside(places.image, _LOCK)
    plan.remove("image", places.image, [*(each for each in reversed(_files_of(places.image)) if each != lock), lock])


def _keys_of(places: Places) -> list[Path]:
    """The keys of the image and of those kept beside it, as far as their files say which theirs are."""
    ids = {_image_id(image) for image in (*kept_beside(places.image), places.image)} - {""}
    return [path for path in _entries(places.keys) if path.suffix in _OF_KEYS and path.stem in ids]


def _image_id(image: Path) -> str:
    """In hex, as the key is called; "" where the file does not tell."""
    log = beside(image, "-wal")
    try:
        # Without a log to read, nothing shall appear beside a file that is only looked into.
        mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
        with closing(sqlite3.connect(f"{image.as_uri()}?{mode}", uri=True)) as connection:
            found = connection.execute("SELECT image_id FROM meta").fetchone()
    except (sqlite3.Error, OSError):
        return ""
    return found[0].hex() if found and isinstance(found[0], bytes) else ""


def _files_of(image: Path) -> tuple[Path, ...]:
    return tuple(beside(image, suffix) for suffix in BESIDE)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
