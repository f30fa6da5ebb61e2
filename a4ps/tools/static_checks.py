"""What can be told of a tool's source without running it. Quick, and no safety: that is the sandbox's alone.

A text that passes here may still do anything that Python can; one that fails is not worth a run, and the writer is told
why in words that it can act on. Pure: reads the syntax tree, imports and runs nothing.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Collection, Iterator

from a4ps.governance.trust import hidden_character
from a4ps.image.methods import yields
from a4ps.tools.specification import Specification

SOURCE_MAX = 20_000

#: Of the standard library, what no tool has a use for: it reaches other processes, the network or memory.
FORBIDDEN = frozenset(
    "ctypes _ctypes multiprocessing pty socket _socket socketserver subprocess _posixsubprocess importlib".split()
)

#: Built-ins that make code from text, which no reader of the source could then judge.
_DYNAMIC = frozenset({"eval", "exec", "compile", "__import__", "breakpoint", "input"})

#: What an annotation may consist of.
_TYPE_PARTS = (
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Tuple,
    ast.List,
    ast.Constant,
    ast.BinOp,
    ast.BitOr,
    ast.Load,
)


def faults(source: str, specification: Specification, packages: Collection[str] = ()) -> list[str]:
    """What is wrong with `source`, one sentence each; none where it may be tried.

    `packages` are those beyond the standard library that the sandbox has.
    """
    if len(source) > SOURCE_MAX:
        return [f"The source has {len(source)} characters; at most {SOURCE_MAX} are taken."]
    hidden = hidden_character(source)
    if hidden:
        return [f"It contains characters that a reader does not see, such as {hidden!a}; write them as escapes."]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd code, told to stderr; what it does is for the trial
            tree = ast.parse(source)
            compile(source, "<tool>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [f"It is not Python: {error}."]
    try:
        return [
            *_definition_faults(tree, specification),
            *_top_level_faults(tree),
            *_import_faults(tree, frozenset(packages)),
            *_dynamic_faults(tree),
            *_name_faults(tree),
        ]
    except RecursionError:
        return ["Its expressions are nested too deeply."]


def _definition_faults(tree: ast.Module, specification: Specification) -> Iterator[str]:
    name = specification.name
    named = [
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    if len(named) != 1:
        yield f"It defines {name} {len(named)} times; define it once, at the top level."
        return
    function = named[0]
    if isinstance(function, ast.AsyncFunctionDef) or yields(function):
        yield f"{name} is a coroutine or a generator; write a plain def that returns its result."
    arguments = function.args
    wanted = [parameter.name for parameter in specification.parameters]
    given = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    if given != wanted or arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs:
        yield f"{name} takes ({ast.unparse(arguments)}); it must take ({', '.join(wanted)})."


def _top_level_faults(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                continue
            case ast.FunctionDef(decorator_list=decorators) | ast.AsyncFunctionDef(decorator_list=decorators):
                if decorators:
                    yield f"Line {node.lineno}: a decorator runs when the tool is loaded; write it without."
                defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
                if not all(_is_literal(default) for default in defaults):
                    yield f"Line {node.lineno}: a default value must be a literal."
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value) if _is_literal(value):
                continue
            case _:
                yield (
                    f"Line {node.lineno}: {type(node).__name__} at the top level; only imports, functions and constants "
                    "(literals) may stand there."
                )


def _import_faults(tree: ast.Module, packages: frozenset[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                yield f"Line {node.lineno}: a tool has no package of its own to import from."
                continue
            if any(alias.name == "*" for alias in node.names):
                yield f"Line {node.lineno}: name what is imported instead of *."
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for root in dict.fromkeys(name.partition(".")[0] for name in names):
            if root in FORBIDDEN:
                yield f"Line {node.lineno}: {root} is forbidden in a tool."
            elif root not in sys.stdlib_module_names and root not in packages:
                yield (
                    f"Line {node.lineno}: there is no package {root} in the sandbox; use the standard library"
                    f"{' or ' + ', '.join(sorted(packages)) if packages else ''}."
                )


def _dynamic_faults(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in _DYNAMIC:
            yield f"Line {node.lineno}: {node.id} is forbidden in a tool."


def _name_faults(tree: ast.Module) -> Iterator[str]:
    """Names that look like others, and annotations that do something when the function is defined."""
    for node in ast.walk(tree):
        names: list[str] = []
        annotations: list[ast.expr | None] = []
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name, asname=None):
                names = [name]
            case ast.alias(name=name, asname=str() as asname):
                names = [name, asname]
            case ast.FunctionDef(name=name, returns=annotation) | ast.AsyncFunctionDef(name=name, returns=annotation):
                names, annotations = [name], [annotation]
            case ast.ClassDef(name=name):
                names = [name]
            case ast.arg(arg=name, annotation=annotation):
                names, annotations = [name], [annotation]
            case ast.keyword(arg=str() as name):
                names = [name]
            case ast.AnnAssign(annotation=annotation):
                annotations = [annotation]
        for name in names:
            if not name.isascii():
                yield f"The name {name!a} is not ASCII, and may look like another; rename it."
        for annotation in filter(None, annotations):
            if not all(isinstance(part, _TYPE_PARTS) for part in ast.walk(annotation)):
                yield f"Line {annotation.lineno}: an annotation must be a type and do nothing."


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
