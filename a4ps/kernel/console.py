"""The console: a workspace whose names live as long as it does, and in which each expression is one transaction.

An expression runs in a thread of the console, for a bounded time. It decides nothing: what it changed is encoded there
and committed by the caller of `evaluate`, once it has ended well. So one that is interrupted, runs too long or is stuck
commits nothing, then or later. A thread cannot be ended from outside (image/call_thread.py): what swallows exceptions or
waits for a lock is left behind, and the console goes on in another thread, as long as few are left so.

This is no sandbox: an expression is the Architect's, may do what the process may, and can end it (`os._exit`). A value is
made in full before it is shown; only its text is bounded.
"""

from __future__ import annotations

import ast
import builtins
import contextvars
import functools
import itertools
import linecache
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from a4ps.errors import A4PSError, CallerError, ConsoleStuck
from a4ps.image.call_thread import Call, CallThread, GivenUp
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.transaction import Transaction
from a4ps.kernel.console_completion import completions
from a4ps.kernel.console_output import Output, kept_apart
from a4ps.kernel.console_protos import ConsoleImage, found_as, name_of
from a4ps.kernel.console_text import error_text, last_lines, reason_of, shown, stack_text

GRACE_S: Final = 1.0
"""What an expression that is to end has for it, before it is left behind."""

ABANDONED_MAX: Final = 4
SOURCE_MAX: Final = 1_000_000
"""Characters of one expression."""

_TEXTS_KEPT = 256
_NOTHING = "nothing was committed"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What became of an expression.

    `value` is the repr of its last line's, "" where that has none or is None, and `proto` the name of the Proto that it is,
    "" where it is something else; `output` what it wrote to stdout and stderr;
    `error` the end of a traceback, "" where it ended well. `cut` says that one of the three is not all there was; each has
    at most the console's `output_max` characters. `change` is the number of the commit of what it changed, None where it
    changed nothing or raised. `seconds` is wall time, with its wait for the expressions before it.
    """

    value: str
    output: str
    error: str
    change: int | None
    seconds: float
    cut: bool
    proto: str = ""


@dataclass(frozen=True, slots=True)
class _Ended:
    """What the console's thread tells of an expression; it holds nothing but texts."""

    value: str
    error: str
    cut: bool
    proto: str = ""


class _Running:
    """The expression that is being evaluated, and what was done to end it."""

    __slots__ = ("call", "given_up", "interrupted", "output", "thread", "transaction")

    def __init__(self, thread: CallThread, call: Call, output: Output, transaction: Transaction) -> None:
        self.thread = thread
        self.call = call
        self.output = output
        self.transaction = transaction
        self.interrupted = False
        self.given_up = False

    def interrupt(self) -> None:
        self.interrupted = True
        self.thread.throw(KeyboardInterrupt)
        self.call.done.set()

    def give_up(self) -> None:
        self.given_up = True
        self.thread.throw(GivenUp)


class Console:
    """Evaluates one expression after the other, for the Architect. Every method may be called from any thread.

    `names` is what an expression finds at first. In it the manager and its handles are given as what can be written to
    (console_protos.py), and functions run outside of the expression's transaction. One that waits should do so in short
    waits, one after the other: only between them an interrupt reaches it.
    """

    def __init__(
        self,
        manager: ProtoManager,
        names: Mapping[str, object],
        *,
        deadline_s: float,
        output_max: int,
        grace_s: float = GRACE_S,
        abandoned_max: int = ABANDONED_MAX,
    ) -> None:
        """`deadline_s` is what one expression has (wall time), `output_max` the characters of each text of its outcome."""
        self._manager = manager
        self._deadline_s = deadline_s
        self._output_max = output_max
        self._grace_s = grace_s
        self._abandoned_max = abandoned_max
        self._image = image = ConsoleImage(manager)
        found = {name: found_as(value, image) for name, value in names.items()}
        self._namespace: dict[str, Any] = {"__name__": "__console__", "__builtins__": _builtins(), **found}
        self._turn = threading.Lock()  # held by the one that evaluates
        self._gate = threading.Lock()  # for `_running` and what is done to it
        self._running: _Running | None = None
        self._thread: CallThread | None = None
        self._left: list[CallThread] = []
        self._texts: deque[str] = deque()
        self._closed = False

    @property
    def abandoned(self) -> int:
        """How many expressions could not be ended and still run."""
        return sum(thread.is_alive() for thread in tuple(self._left))

    def evaluate(self, source: str, proto: str = "") -> Evaluated:
        """Run `source`; where its last line is an expression, that one's value is shown. With `proto`, the name `self` is
        that Proto.

        What it changes of Protos is one change by the Architect, with its text as the reason; where it raises, it changes
        nothing, and what it made of the console's own names stays. Blocks, for the expressions that were asked for before,
        each of them `deadline_s` and twice `grace_s` at most; not for an event loop. Where the caller is interrupted, the
        expression is given up.

        Raises ConsoleStuck, UnknownProto, and CallerError where the text is too long or the console closed. Whatever else
        goes wrong, a Conflict as well, is the `error` of the outcome.
        """
        began_s = time.monotonic()
        if len(source) > SOURCE_MAX:
            raise CallerError(f"an expression has at most {SOURCE_MAX:,} characters", next_step="put it into a file")
        with self._turn:
            if proto:
                self._namespace["self"] = self._image.get_proto(proto)
            else:
                self._namespace.pop("self", None)
            running = self._begin(source)
            try:
                outcome = self._outcome(running)
            except BaseException:
                running.give_up()
                running.transaction.give_up()
                self._leave(running)
                raise
            finally:
                with self._gate:
                    self._running = None
            change, outcome = self._commit(running, outcome)
        output = running.output.end()
        error, cut = last_lines(outcome.error, self._output_max)
        texts = (outcome.value, output, error)
        # A lone surrogate is a text's in Python, and nobody else's.
        value, output, error = (text.encode("utf-8", "backslashreplace").decode() for text in texts)
        return Evaluated(
            value,
            output,
            error,
            change,
            time.monotonic() - began_s,
            outcome.cut or running.output.cut or cut,
            outcome.proto,
        )

    def interrupt(self) -> bool:
        """Raise KeyboardInterrupt in the expression that runs; whether there was one. Does not wait."""
        with self._gate:
            running = self._running
            if running is None or running.interrupted or running.given_up:
                return False
            running.interrupt()
            return True

    def complete(self, text: str, cursor: int, proto: str = "") -> list[str]:
        """What could stand in place of the name that ends at `cursor` (a number of characters), sorted.

        Of `brick.mo|` that is "mood" and "model", not what is before the last dot. Runs no code of any object.
        With `proto`, `self` is that Proto. Raises UnknownProto.
        """
        names = {name: value for name, value in tuple(self._namespace.items()) if name != "self"}
        if proto:
            names["self"] = self._image.get_proto(proto)
        return completions(text[: max(cursor, 0)], names)

    def close(self) -> None:
        """Interrupt what runs, evaluate nothing more, end the thread; idempotent. Waits as `evaluate` does."""
        self._closed = True
        self.interrupt()
        with self._turn:
            if self._thread is not None:
                self._thread.end()
                self._thread = None
            while self._texts:
                linecache.cache.pop(self._texts.popleft(), None)

    def _begin(self, source: str) -> _Running:
        if self._closed:
            raise CallerError("this console is closed", next_step="open another: a4ps console")
        self._left = [thread for thread in self._left if thread.is_alive()]
        for thread in self._left:
            thread.throw(GivenUp)  # what swallowed it before may not do so now
        if len(self._left) >= self._abandoned_max:
            raise ConsoleStuck(
                f"{len(self._left)} expressions could not be ended and still run; nothing more is evaluated beside them",
                next_step="end them with the backend: a4ps down",
            )
        if self._thread is None:
            self._thread = CallThread("a4ps-console")
            self._thread.start()
        output = Output(self._output_max)
        transaction = self._manager.transaction(reason=reason_of(source))
        work = functools.partial(self._work, source, self._name_of(source), transaction, output)
        with self._gate:
            call = self._thread.serve(functools.partial(contextvars.copy_context().run, work))
            self._running = running = _Running(self._thread, call, output, transaction)
        return running

    def _name_of(self, source: str) -> str:
        """The file that a traceback names. Its lines are kept for the newest few hundred expressions."""
        name = f"<console {next(_numbers)}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        self._texts.append(name)
        if len(self._texts) > _TEXTS_KEPT:
            linecache.cache.pop(self._texts.popleft(), None)
        return name

    # In the console's thread

    def _work(self, source: str, name: str, transaction: Transaction, output: Output) -> _Ended:
        with kept_apart(output):
            try:
                with transaction.prepared():
                    value = self._run(source, name)
                    text, cut = ("", False) if value is None else shown(value, self._output_max)
                    proto = name_of(value)
                    del value
            except BaseException as error:  # noqa: BLE001 - whatever the Architect's code raises is its outcome
                return _Ended("", *error_text(error, self._output_max))
            return _Ended(text, "", cut, proto)

    def _run(self, source: str, name: str) -> object:
        tree = ast.parse(source, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec", dont_inherit=True), self._namespace)  # noqa: S102 - what a console is for
        if not isinstance(last, ast.Expr):
            return None
        return eval(  # noqa: S307 - as above
            compile(ast.Expression(last.value), name, "eval", dont_inherit=True), self._namespace
        )

    # In the caller's thread

    def _outcome(self, running: _Running) -> _Ended:
        """Wait for the end of the expression, or bring it about."""
        running.call.done.wait(self._deadline_s)
        with self._gate:
            if running.call.ended and not running.interrupted:
                self._running = None  # from here on no interrupt reaches its thread, which the next one needs
                return self._told(running)
            if not running.interrupted:
                running.give_up()
        running.thread.join(self._grace_s)
        if running.thread.is_alive() and not running.given_up:
            running.give_up()
            running.thread.join(self._grace_s)
        if running.thread.is_alive():
            return self._abandon(running)
        self._thread = None
        told = self._told(running)
        if not running.given_up and running.call.ended and running.call.error is None:
            return told  # it dealt with the interrupt, or was faster
        why = (
            "it was interrupted"
            if running.interrupted
            else f"it ran for more than {self._deadline_s:g} s and was ended"
        )
        return _Ended("", f"{told.error.rstrip()}\n{why}; {_NOTHING}".lstrip(), told.cut)

    def _told(self, running: _Running) -> _Ended:
        if isinstance(running.call.result, _Ended):
            return running.call.result
        return _Ended("", "", False)

    def _abandon(self, running: _Running) -> _Ended:
        stack = stack_text(running.thread.frame())
        self._leave(running)
        return _Ended(
            "",
            f"{stack}it could not be ended: it swallows what is raised in it, or waits for what never comes. It is left "
            f"behind, {self.abandoned} of at most {self._abandoned_max}, and {_NOTHING}; the console goes on in another "
            "thread",
            False,
        )

    def _leave(self, running: _Running) -> None:
        self._left.append(running.thread)
        self._thread = None

    def _commit(self, running: _Running, outcome: _Ended) -> tuple[int | None, _Ended]:
        """Make durable what an expression changed that ended well: its number, and the outcome."""
        if outcome.error:
            running.transaction.give_up()
            return None, outcome
        try:
            changes = running.transaction.commit_prepared()
        except A4PSError as error:
            return None, _Ended("", *error_text(error, self._output_max))
        return (changes[0].generation if changes else None), outcome


def _builtins() -> dict[str, Any]:
    """Python's own, but for those that are meant for a terminal and would close or read the backend's."""
    return {**vars(builtins), "exit": _end, "quit": _end, "input": _no_input}


def _end(*_: object) -> NoReturn:
    raise SystemExit("Ctrl-D leaves the console")


def _no_input(*_: object) -> NoReturn:
    raise EOFError("nobody can be asked from within an expression")
