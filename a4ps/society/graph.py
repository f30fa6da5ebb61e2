"""The society's graph: LangGraph drives the steps of `nodes`, checkpointed one thread per turn.

A thread is deleted when its turn is committed to the image, so checkpoints never grow with the conversation. The file is
rebuildable: lost, an open turn starts again from its question; damaged, it is moved aside and begun anew. Its values
are signed (`signed_checkpoints`): one that was planted or changed is found before it is decoded.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

# LangGraph brings LangSmith's client along. Nothing may leave this machine, so tracing is off whatever the environment
# says; and checkpoints may hold plain data only. Both are read when the packages below are imported.
os.environ.update(
    LANGSMITH_TRACING="false", LANGCHAIN_TRACING_V2="false", LANGCHAIN_TRACING="false", LANGGRAPH_STRICT_MSGPACK="true"
)

from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph

from a4ps.errors import DiskFull, IntegrityError, StorageFailed
from a4ps.society import nodes
from a4ps.society.nodes import TurnContext
from a4ps.society.signed_checkpoints import SignedSerializer, Signer
from a4ps.society.state import TurnState
from a4ps.society.tainting import tainted

_log = logging.getLogger(__name__)


#: Of a turn's checkpoints: there are none, they are whole, or they are not what was stored.
Standing = Literal["none", "whole", "false"]


def build_graph() -> StateGraph[TurnState, TurnContext, TurnState, TurnState]:
    """The graph, uncompiled. Nodes that choose their successor name the choices in their return type."""
    graph = StateGraph(TurnState, context_schema=TurnContext)
    steps = (
        nodes.plan,
        nodes.use_tool,
        nodes.thesis,
        nodes.antithesis,
        nodes.weigh,
        nodes.research,
        nodes.synthesis,
    )
    for node in steps:
        graph.add_node(tainted(node))
    graph.add_edge(START, "plan")
    graph.add_edge("use_tool", "thesis")
    graph.add_edge("research", "synthesis")
    graph.set_finish_point("synthesis")
    return graph


class Deliberation:
    """The compiled graph over its checkpoint file. Open with `open`, close with `aclose`; one event loop."""

    def __init__(self, file: Path, connection: sqlite3.Connection, signer: Signer) -> None:
        """Use `open`."""
        self._file = file
        self._serde = SignedSerializer(signer)
        self._use(connection)

    @classmethod
    async def open(cls, file: Path, signer: Signer) -> Deliberation:
        """Open or create the checkpoint file; a damaged one is moved aside. `signer` is the image's seal.

        Raises `DiskFull`, `StorageFailed`.
        """
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return cls(file, _connect(file), signer)
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise storage_error(error) from error
            return cls(file, _connect_anew(file, error), signer)

    async def standing(self, turn_id: str) -> Standing:
        """What there is of a turn to go on with. Raises `DiskFull`, `StorageFailed`, as `run`."""
        self._serde.turn = turn_id
        try:
            found = self._saver.get_tuple({"configurable": {"thread_id": turn_id}})
        except sqlite3.Error as error:
            self._mend(error)
            raise storage_error(error) from error
        except (IntegrityError, ValueError, TypeError) as error:  # a row's plain parts can be damaged too
            _log.warning("a checkpoint of turn %s is not what was stored: %s", turn_id, error)
            return "false"
        return "none" if found is None else "whole"

    async def run(
        self, turn_id: str, state: TurnState, context: TurnContext, *, resume: bool = False
    ) -> tuple[TurnState, bool]:
        """Walk the turn to its end; with `resume`, from its checkpoint where there is one. Says whether there was.

        Raises what the nodes raise; the checkpoint of the last whole step then remains. Raises IntegrityError where one is
        not what was stored (`standing` tells it before), `DiskFull`, and `StorageFailed` where the file turned out damaged:
        it is then a new one, and the turn starts anew when resumed.
        """
        config: Any = {"configurable": {"thread_id": turn_id}, "recursion_limit": 50}
        self._serde.turn = turn_id
        try:
            resumed = resume and self._saver.get_tuple(config) is not None
            end = await self._graph.ainvoke(None if resumed else state, config, context=context, durability="sync")
        except sqlite3.Error as error:
            self._mend(error)
            raise storage_error(error) from error
        return end, resumed  # type: ignore[return-value]

    async def forget(self, turn_id: str) -> None:
        """Delete a turn's checkpoints. Housekeeping: what the disk refuses is logged, and left to the next `sweep`."""
        try:
            self._saver.delete_thread(turn_id)
        except sqlite3.Error as error:
            _log.warning("the checkpoints of turn %s were not deleted: %s", turn_id, error)
            self._mend(error)

    async def sweep(self, keep: Collection[str]) -> None:
        """Delete the checkpoints of every turn but those in `keep`. Housekeeping, as `forget`."""
        try:
            rows = self._connection.execute("SELECT DISTINCT thread_id FROM checkpoints").fetchall()
        except sqlite3.Error as error:
            _log.warning("the checkpoints were not swept: %s", error)
            self._mend(error)
            return
        for (turn_id,) in rows:
            if turn_id not in keep:
                await self.forget(turn_id)

    async def aclose(self) -> None:
        """Close the file. Idempotent."""
        self._connection.close()

    def _use(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._saver = StepSaver(connection, serde=self._serde)
        self._graph = build_graph().compile(checkpointer=self._saver)

    def _mend(self, error: sqlite3.Error) -> None:
        if _is_damage(error):
            self._connection.close()
            self._use(_connect_anew(self._file, error))


class StepSaver(SqliteSaver):
    """Keeps whole steps, one checkpoint each, on the event loop: one is written without fsync, in less time than handing
    it to a thread and back takes.

    LangGraph would keep beside it what each node of a step gave, for steps of which some nodes failed. A step of a turn
    has one node: the next checkpoint follows at once, and holds the same.
    """

    async def aget_tuple(self, config: Any) -> CheckpointTuple | None:
        return self.get_tuple(config)

    async def aput(
        self, config: Any, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> Any:
        if metadata["step"] < 1:
            return config  # nothing was said yet: the turn begins with its question as well
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(self, *_: Any, **__: Any) -> None:
        """Keeps nothing."""


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, check_same_thread=False)
    try:
        # A checkpoint survives a killed process without any fsync; a power cut costs at most the turn's progress.
        connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA secure_delete=ON; PRAGMA wal_autocheckpoint=256;"
        )
        _check(connection)
        SqliteSaver(connection).setup()
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError where the file's pages do not hang together."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found is None or found[0] != "ok":
        raise sqlite3.DatabaseError(f"quick_check: {found[0] if found else 'no answer'}")


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file's content is at fault, not the disk or a lock."""
    of_the_world_or_ours = isinstance(error, sqlite3.OperationalError | sqlite3.ProgrammingError)
    return isinstance(error, sqlite3.DatabaseError) and not of_the_world_or_ours


def _connect_anew(file: Path, error: sqlite3.Error) -> sqlite3.Connection:
    """A new file in place of a damaged one, which is kept beside it."""
    _log.warning("the checkpoint file is damaged (%s); it is moved aside", error)
    _move_aside(file)
    return _connect(file)


def _move_aside(file: Path) -> None:
    file.replace(file.with_suffix(".damaged"))
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def storage_error(error: sqlite3.Error) -> DiskFull | StorageFailed:
    """SQLite's error in the checkpoint file as one of ours."""
    if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
        return DiskFull("the disk is full: the turn cannot go on", next_step="free some space")
    return StorageFailed(f"the checkpoint file cannot be used: {error}", next_step="a4ps doctor")
