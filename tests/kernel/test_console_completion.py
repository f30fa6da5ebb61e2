"""Completion: what could be written next, found without running anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.kernel.console import Console
from a4ps.kernel.console_completion import COMPLETIONS_MAX, completions

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys")) as manager:
        elder = manager.register_proto(Proto("ELDER", CODEX, state={"wisdom": 1}))
        elder.define("advise", "def advise(self): pass")
        brick = manager.register_proto(
            Proto("BRICK", CODEX, parents=["ELDER"], state={"mood": "calm", "model": 1, "not a name": 2, "_own": 3})
        )
        brick.define("wonder", "def wonder(self): pass")
        made = Console(manager, {"image": manager, "brick": brick}, deadline_s=120, output_max=2000)
        yield made
        made.close()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("bri", ["brick"]),
        ("x = [bri", ["brick"]),
        ("imp", ["import"]),
        ("isins", ["isinstance"]),
        ("brick.mo", ["model", "mood"]),
        ("brick.w", ["wisdom", "wonder"]),
        ("f(brick.adv", ["advise"]),
        ("brick._o", ["_own"]),
        ("brick.codex.sys", ["system_prompt"]),
        ("brick.state.upd", ["update"]),
        ("image.get_p", ["get_proto"]),
        ("image.close", ["close_with", "closed"]),
        ("str.upp", ["upper"]),
        ("brick.mood.up", []),
        ("nobody.x", []),
        ("'x'.up", []),
        ("f().up", []),
        ("1.re", []),
        ("", ["brick", "image"]),
    ],
)
def test_what_could_stand_there(console: Console, text: str, names: list[str]) -> None:
    assert console.complete(f"{text} + 1", len(text)) == names


def test_what_an_expression_made_is_completed(console: Console) -> None:
    console.evaluate("import math\nclass Own:\n    def method(self): pass\nown = Own()\nown.kept = math")
    assert console.complete("own.", 4) == ["kept", "method"]
    assert console.complete("own.kept.flo", 12) == ["floor"]
    assert console.complete("Own.met", 7) == ["method"]


STRANGE = """
ran = []
class Meta(type):
    def __getattribute__(self, name): ran.append(name); return type.__getattribute__(self, name)
    def __instancecheck__(self, other): ran.append('instance'); return True
    def __dir__(self): ran.append('dir'); return []
class Strange(metaclass=Meta):
    def __init__(self): object.__setattr__(self, 'kept', 1)
    def __getattr__(self, name): ran.append(name); return self
    def __getattribute__(self, name): ran.append(name); return object.__getattribute__(self, name)
    def __dir__(self): ran.append('dir'); return ['x']
    @property
    def prop(self): ran.append('prop'); return self
    @property
    def __class__(self): ran.append('class'); return int
    def __get__(self, *_): ran.append('get'); return self
class Sly:
    @property
    def __dict__(self): ran.append('dict'); return {}
strange, sly = Strange(), Sly()
class Holder:
    held = strange
holder = Holder()
holder.inner = strange
ran.clear()
"""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("strange.", ["kept", "prop"]),
        ("strange.prop.", []),
        ("strange.nothing.", []),
        ("strange.kept.rea", ["real"]),
        ("Strange.pro", ["prop"]),
        ("sly.", []),
        ("sly.__dict__.", []),
        ("holder.held.", []),
        ("holder.inner.", []),
        ("holder.in", ["inner"]),
    ],
)
def test_no_code_of_a_strange_object_runs(console: Console, text: str, names: list[str]) -> None:
    assert console.evaluate(STRANGE).error == ""
    assert console.complete(text, len(text)) == names
    assert console.evaluate("ran").value == "[]"


def test_a_proto_that_was_removed_completes_nothing(console: Console) -> None:
    assert console.evaluate("image.remove_proto('BRICK')").error == ""
    assert console.complete("brick.", 6) == []


def test_completions_are_bounded_and_a_long_text_costs_nothing() -> None:
    assert len(completions("n", {f"n{at}": at for at in range(COMPLETIONS_MAX * 2)})) == COMPLETIONS_MAX
    assert completions("a." * 500_000, {"a": 1}) == completions("a." * 500, {"a": 1})
