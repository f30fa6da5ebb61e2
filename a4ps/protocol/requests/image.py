"""Requests about the image itself: to check it, look back upon it, undo, copy, and carry it elsewhere.

Files and folders are named by absolute paths, and the backend reads and writes them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from a4ps.governance.roles import Role
from a4ps.protocol.messages import Text
from a4ps.protocol.objects import (
    BackupObject,
    DiffObject,
    HistoryObject,
    RevertObject,
    TakenOverObject,
    VerifyObject,
    WrittenObject,
)
from a4ps.protocol.requests.base import FilePath, Request

ChangeNumber = Annotated[int, Field(ge=1, lt=1 << 47)]


class Verify(Request, name="image_verify", gives=VerifyObject, again=True):
    """Check the newest commits, or (`deep`) every commit, row and page."""

    deep: bool = False


class History(Request, name="image_history", gives=HistoryObject, again=True):
    """The changes of a Proto and what it inherits, oldest first; of all where `proto` is ""."""

    proto: Text = ""


class Diff(Request, name="image_diff", gives=DiffObject, again=True):
    """What a change made different."""

    change: ChangeNumber


class Revert(Request, name="image_revert", gives=RevertObject, needs=Role.ARCHITECT):
    """Undo a change by a new one; what came later stays."""

    change: ChangeNumber
    reason: Text = ""


class Backup(Request, name="image_backup", gives=BackupObject, needs=Role.ARCHITECT):
    """A verified copy of the image at `file`, which must not exist."""

    file: FilePath


class Save(Request, name="image_save", gives=WrittenObject, needs=Role.ARCHITECT, again=True):
    """The whole content as one signed file, in place of what `file` held."""

    file: FilePath


class Export(Request, name="image_export", gives=WrittenObject, needs=Role.ARCHITECT, again=True):
    """The whole content as texts in `folder`, in place of an earlier export."""

    folder: FilePath


class Load(Request, name="image_load", gives=TakenOverObject, needs=Role.ARCHITECT):
    """Make what was saved in `file` the image's content. Not while a turn is under way."""

    file: FilePath


class Import(Request, name="image_import", gives=TakenOverObject, needs=Role.ARCHITECT):
    """Make an exported `folder` the image's content. Not while a turn is under way. The Architect may `vouch` for it: then
    what it says is untrusted alone is so.
    """

    folder: FilePath
    vouch: bool = False
