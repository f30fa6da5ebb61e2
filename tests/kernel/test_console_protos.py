"""How Protos look in the console: what is written on them counts, and what cannot be written says why."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.kernel.console import Console

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ProtoManager]:
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys")) as opened:
        elder = opened.register_proto(Proto("ELDER", CODEX, state={"age": 70}))
        elder.define("advise", "def advise(self): return self.state['age']")
        opened.register_proto(Proto("BRICK", CODEX, parents=["ELDER"], state={"mood": "calm", "notes": ["tea"]}))
        yield opened


@pytest.fixture
def console(manager: ProtoManager) -> Iterator[Console]:
    made = Console(
        manager, {"image": manager, "brick": manager.get_proto("BRICK")}, deadline_s=120, output_max=2000, grace_s=120
    )
    yield made
    made.close()


def value(console: Console, source: str) -> str:
    done = console.evaluate(source)
    assert done.error == ""
    return done.value


@pytest.mark.parametrize(
    "write",
    [
        "brick.mood = 'bright'",
        "brick.state['mood'] = 'bright'",
        "brick.state.update(mood='bright')",
        "setattr(image.get_proto('BRICK'), 'mood', 'bright')",
        "image['BRICK'].mood = 'bright'",
        "kept['mood'] = 'bright'",
        "brick.state = {**brick.state, 'mood': 'bright'}",
        "with image.transaction(reason='own') as tx: brick.mood = 'bright'",
    ],
)
def test_every_way_to_write_a_slot_is_kept(console: Console, manager: ProtoManager, write: str) -> None:
    assert value(console, "kept = brick.state") == ""
    assert value(console, f"{write}\nbrick.mood") in ("'bright'", "'calm'")
    assert manager.get_proto("BRICK").state["mood"] == "bright"
    assert value(console, "brick.mood, kept['mood']") == "('bright', 'bright')"


def test_slots_are_deleted_and_inherited_ones_show_through(console: Console, manager: ProtoManager) -> None:
    assert value(console, "brick.age = 3\nbrick.advise()") == "3"
    assert value(console, "del brick.age\nbrick.advise()") == "70"
    assert value(console, "del brick.state['mood']\n'mood' in brick.state, len(brick.state)") == "(False, 2)"
    assert "AttributeError" in console.evaluate("del brick.age").error
    assert "mood" not in manager.get_proto("BRICK").state


def test_codex_and_parents_can_be_set(console: Console, manager: ProtoManager) -> None:
    value(console, "brick.codex = {**brick.codex.to_mapping(), 'role': 'poetry'}\nbrick.parents = []")
    brick = manager.get_proto("BRICK")
    assert (brick.codex.role, brick.parents) == ("poetry", ())


@pytest.mark.parametrize("name", ["name", "methods", "clone", "advise", "live", "__class__"])
def test_what_is_no_slot_cannot_be_set_by_mistake(console: Console, name: str) -> None:
    assert "CallerError" in console.evaluate(f"brick.{name} = 1").error
    assert "CallerError" in console.evaluate(f"del brick.{name}").error


def test_a_name_that_is_not_there_is_an_attribute_error(console: Console) -> None:
    assert "AttributeError: BRICK has no method or slot 'mod'" in console.evaluate("brick.mod").error
    assert value(console, "hasattr(brick, '__wrapped__'), getattr(brick, 'mod', 1)") == "(False, 1)"


def test_a_proto_is_one_object_and_names_itself(console: Console) -> None:
    assert value(console, "brick is image['BRICK'] is image.get_proto('BRICK'), 'BRICK' in image, 'X' in image") == (
        "(True, True, False)"
    )
    assert value(console, "brick").startswith("<BRICK at ")
    assert value(console, "{'advise', 'age', 'mood', 'state', 'define'} - set(dir(brick))") == "set()"


def test_what_is_registered_in_an_expression_can_be_read_in_it_and_changed_in_the_next(console: Console) -> None:
    assert value(console, "new = image.register_proto(brick.clone().renamed('MORTAR'))\nnew.mood") == "'calm'"
    assert value(console, "new.mood = 'firm'\nnew.mood") == "'firm'"
    error = console.evaluate("image.register_proto(brick.clone().renamed('SAND'))\nimage['SAND'].mood = 'dry'").error
    assert "SAND is younger than this expression" in error


def test_what_was_removed_is_told(console: Console) -> None:
    value(console, "image.remove_proto('BRICK')")
    assert "UnknownProto" in console.evaluate("brick.mood").error
    assert "UnknownProto" in console.evaluate("brick.mood = 'late'").error
    assert value(console, "brick") == "<BRICK, removed>"


def test_the_image_is_not_the_consoles_to_close(console: Console, manager: ProtoManager) -> None:
    assert "a4ps down" in console.evaluate("image.close()").error
    assert not manager.closed
    assert value(console, "image.names()") == "['BRICK', 'ELDER']"
    assert value(console, "image.history('BRICK')[0].act") == "'register'"
    assert value(console, "image").startswith("<the image ")


def test_a_thread_of_an_expression_may_read_and_is_told_why_it_cannot_write(console: Console) -> None:
    source = (
        "import threading\nseen = []\n"
        "def work():\n    seen.append(brick.mood)\n"
        "    try:\n        brick.mood = 'late'\n    except Exception as e:\n        seen.append(type(e).__name__)\n"
        "t = threading.Thread(target=work)\nt.start()\nt.join()\nseen"
    )
    assert value(console, source) == "['calm', 'NotInTransaction']"


def test_outside_of_any_expression_a_proto_is_its_handle(console: Console) -> None:
    found: list[object] = []
    console.evaluate("def look(): return brick.mood, brick.state['notes'][0]")
    look = console._namespace["look"]
    thread = threading.Thread(target=lambda: found.append(look()))
    thread.start()
    thread.join()
    assert found == [("calm", "tea")]
