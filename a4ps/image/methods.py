"""Live methods: source text, how it becomes a function, and where it may run.

A method is kept as source, never as bytecode. Its function is made when it is first called, and its lines are given to
`linecache` under a name made of the text's digest, so a traceback shows the text that ran, also after it was replaced.

Texts of `architect` and `package` run in this process, and so do those that the Architect promoted (governance/trust.py);
every other goes to the `CodeRunner`, and is refused while there is none (I5). Running in this process is no sandbox.

Not covered: what a method keeps in its module's globals lives as long as the process, outside image and transactions.
"""

from __future__ import annotations

import ast
import functools
import linecache
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from a4ps.errors import MethodRefused
from a4ps.governance.trust import digest_of


@dataclass(frozen=True, slots=True)
class Method:
    """One method's text and where it came from. `author` "" means: whoever makes the change it is committed with.

    `reads` and `writes` name the slots that a sandboxed call gets and may change; they do not bind trusted text.
    """

    name: str
    source: str
    author: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    reason: str = ""

    def parts(self) -> tuple[object, ...]:
        """What a record keeps of it under its name."""
        return (self.source, self.author, self.reads, self.writes, self.reason)

    @property
    def digest(self) -> str:
        """SHA-256 of the text, hex: what trust is recorded under."""
        return digest_of(self.source)

    @property
    def signature(self) -> str:
        """The arguments as a caller gives them: "(topic, times=3)"."""
        definition = _definition(self)
        arguments = definition.args
        given = arguments.posonlyargs or arguments.args
        del given[:1]
        try:
            return f"({ast.unparse(arguments)})"
        except RecursionError:  # a default that was made to be long
            return "(…)"

    @property
    def summary(self) -> str:
        """The docstring's first line, or ""."""
        return (ast.get_docstring(_definition(self)) or "").partition("\n")[0]


@dataclass(frozen=True, slots=True)
class MethodCall:
    """What a sandboxed method is given: its text, its arguments, the slots it reads, the names it may write.

    `folders` are absolute paths that the Architect granted to this very text, those of them that are `writable` to be
    written to as well.
    """

    proto: str
    method: Method
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    slots: Mapping[str, object]
    deadline_s: float
    folders: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MethodResult:
    """What a sandboxed method gives back: its value, the slots it wrote with their new values, and what it printed."""

    value: object
    written: Mapping[str, object]
    output: str = ""


class CodeRunner(Protocol):
    """Runs text that is not trusted, outside this process.

    Called from any thread, once a call, blocking until the call ends or its deadline is over. Raises A4PSError where
    the call failed; nothing of the call may outlive it (I6). What it returns is plain data and is checked again here.
    """

    def run(self, call: MethodCall) -> MethodResult: ...


def check(method: Method) -> None:
    """Raises MethodRefused unless the text defines one plain function of the method's name with a first argument."""
    definition = _definition(method)
    if isinstance(definition, ast.AsyncFunctionDef) or yields(definition):
        raise MethodRefused(
            f"{method.name} is a coroutine or a generator, which would go on after its transaction",
            next_step="write a plain def that returns its result",
        )
    if not (definition.args.posonlyargs or definition.args.args):
        raise MethodRefused(f"{method.name} takes no self", next_step=f"begin it with: def {method.name}(self")
    try:
        compile(method.source, "<method>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise MethodRefused(f"{method.name} does not compile: {error}", next_step="correct the source") from error


def function_of(proto: str, method: Method) -> Callable[..., Any]:
    """The function of a method's text, made once per text. Raises MethodRefused; whatever its top level raises."""
    return _function(proto, method.name, method.source, method.digest)


@functools.lru_cache(maxsize=4096)
def _function(proto: str, name: str, source: str, digest: str) -> Callable[..., Any]:
    filename = f"<{proto}.{name} {digest[:12]}>"
    code = compile(source, filename, "exec", dont_inherit=True)
    # No time of change: linecache then never asks the disk and never forgets the entry.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    module = types.ModuleType(f"a4ps.live.{proto}")
    exec(code, module.__dict__)  # noqa: S102 - the text of a trusted author, which is what a live method is
    function = module.__dict__[name]
    if not callable(function):
        raise MethodRefused(f"{name} is not a function", next_step=f"define it with: def {name}(self")
    return function  # type: ignore[no-any-return]


def _definition(method: Method) -> ast.FunctionDef | ast.AsyncFunctionDef:
    try:
        # Parsed each time it is asked for: a tree can be changed by who gets it.
        tree = ast.parse(method.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise MethodRefused(f"{method.name} is not Python: {error}", next_step="correct the source") from error
    named = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == method.name
    ]
    if len(named) != 1:
        raise MethodRefused(
            f"the source of {method.name} defines it {len(named)} times", next_step=f"give one: def {method.name}(self"
        )
    return named[0]


def yields(definition: ast.AST) -> bool:
    """Whether a function's own body yields; functions inside it may."""
    waiting = list(ast.iter_child_nodes(definition))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
    return False
