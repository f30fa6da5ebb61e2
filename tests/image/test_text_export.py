"""The text export: readable, the same each time, back again with an equal content hash, and a stranger's on the way in."""

from __future__ import annotations

import base64
import errno
import json
import os
import threading
import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a4ps.errors import A4PSError, CallerError, DiskFull, ImageTooNew, IntegrityError, Unsupported
from a4ps.image import plain, text_export, typed_json
from a4ps.image.codec import Placeholder, decode_slot, encode_slot, opaque
from a4ps.image.snapshot import MethodSnapshot, PortableImage, PortableRecord, ProtoSnapshot
from a4ps.image.text_export import content_hash, export_text, import_text
from tests.image.images import CREATED, GREET, an_image
from tests.image.plain_values import VALUES, shape

FORMATS = Path(__file__).parent.parent / "data" / "formats"
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=8,
)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def one_proto(**fields: Any) -> PortableImage:
    return PortableImage(CREATED, {"A": ProtoSnapshot(**{"name": "A", "codex": {"role": "r"}, **fields})})


class TestRoundTrip:
    def test_keeps_the_content_hash(self, tmp_path: Path) -> None:
        content = an_image()
        export_text(tmp_path / "out", content)
        back = import_text(tmp_path / "out")
        assert content_hash(back) == content_hash(content)
        assert dict(back.protos["BRICK"].codex) == dict(content.protos["BRICK"].codex)
        assert back.records == content.records
        assert back.history == content.history
        assert set(back.protos) == set(content.protos)

    def test_twice_changes_nothing_but_the_authors(self, tmp_path: Path) -> None:
        export_text(tmp_path / "one", an_image())
        export_text(tmp_path / "two", import_text(tmp_path / "one"))
        export_text(tmp_path / "three", import_text(tmp_path / "two"))
        one, two, three = (files_of(tmp_path / name) for name in ("one", "two", "three"))
        assert {name for name in one if one[name] != two.get(name)} == {
            "protos/BRICK/methods/greet.py",
            "protos/BRICK/methods/no_newline.py",
        }
        assert two == three

    @given(VALUES)
    def test_of_any_plain_value(self, value: object) -> None:
        node = json.loads(json.dumps(typed_json.to_json(value)))
        back = typed_json.from_json(node)
        assert typed_json.to_json(back) == typed_json.to_json(value)
        assert json.dumps(typed_json.to_json(back)) == json.dumps(node)
        assert shape(back) == shape(value)

    @settings(max_examples=40)
    @given(st.dictionaries(st.text(st.characters()), JSON, max_size=4), st.text(st.characters()))
    def test_of_any_codex_and_name(self, codex: dict[str, Any], name: str) -> None:
        proto = ProtoSnapshot(name, codex, (name,))
        text = text_export._codex_text(proto)
        source = tomllib.loads(text)
        table = text_export._from_table(source.pop("codex"))
        root = text_export._from_table(source)
        assert json.dumps(table, sort_keys=True) == json.dumps(codex, sort_keys=True)
        assert (root["name"], root["parents"]) == (name, [name])
        assert text_export._codex_text(replace(proto, codex=table)) == text

    @given(st.text(st.characters()), st.text(st.characters()), st.lists(st.text(), max_size=2))
    def test_of_any_method(self, source: str, author: str, names: list[str]) -> None:
        method = MethodSnapshot(source, author, author, tuple(names), tuple(names))
        text = text_export._method_text(author, method, as_first_written=False)
        name, back = text_export._method_of(text)
        assert name == author
        assert back.source == source
        assert (back.reads, back.writes, back.reason) == (method.reads, method.writes, method.reason)

    def test_of_a_tuple_in_a_cycle_through_a_list(self) -> None:
        inside: list[object] = []
        value = (inside, 1)
        inside.append(value)
        text = json.dumps(typed_json.to_json(value))
        back: Any = typed_json.from_json(json.loads(text))
        assert back[0][0][0] is back[0]
        assert json.dumps(typed_json.to_json(back)) == text

    def test_of_a_tuple_in_two_cycles_numbers_the_list_only(self) -> None:
        inside: list[object] = []
        value = (inside,)
        inside += [value, value]
        text = json.dumps(typed_json.to_json(value))
        assert json.dumps(typed_json.to_json(typed_json.from_json(json.loads(text)))) == text
        assert text.startswith('{"$tuple"')

    def test_of_shared_tuples_does_not_explode(self) -> None:
        value: object = (1,)
        for _ in range(typed_json.MAX_DEPTH - 1):
            value = (value, value)
        text = json.dumps(typed_json.to_json(value))
        assert len(text) < 10_000
        assert json.dumps(typed_json.to_json(typed_json.from_json(json.loads(text)))) == text

    def test_of_numpy_arrays(self) -> None:
        numpy = pytest.importorskip("numpy")
        array = numpy.array([(1, 2.5)], [("a", "<i4"), ("b", "<f8")])
        back: Any = typed_json.from_json(json.loads(json.dumps(typed_json.to_json([array, array]))))
        assert back[0].dtype == array.dtype
        assert back[0].tobytes() == array.tobytes()
        assert back[1] is back[0]

    def test_of_a_value_too_deep_for_json_keeps_its_bytes(self, tmp_path: Path) -> None:
        value: object = 1
        for _ in range(5000):
            value = [value]
        content = one_proto(slots={"deep": encode_slot(value, "deep")})
        export_text(tmp_path / "out", content)
        assert import_text(tmp_path / "out").protos["A"].slots == content.protos["A"].slots

    def test_of_a_record_whose_class_is_unknown(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        export_text(tmp_path / "out", an_image())
        with monkeypatch.context() as without:
            without.setattr(plain, "_records", {})
            back = import_text(tmp_path / "out")
            points = back.protos["BRICK"].slots["points"]
            assert isinstance(decode_slot(points, "points", trusted=True), Placeholder)
        assert content_hash(back) == content_hash(an_image())


class TestTheFolder:
    def test_can_be_read(self, tmp_path: Path) -> None:
        export_text(tmp_path / "out", an_image(with_opaque=False))
        brick = tmp_path / "out" / "protos" / "BRICK"
        assert (brick / "methods" / "greet.py").read_text("utf-8") == (
            '# author: "architect"\n# reads: ["mood"]\n# writes: []\n# reason: "says hello"\n# method: "greet"\n\n'
            + GREET
        )
        assert 'system_prompt = """You are BRICK.\nState' in (brick / "codex.toml").read_text("utf-8")
        assert ' "mood": "calm",\n' in (brick / "state.json").read_text("utf-8")
        turns = (tmp_path / "out" / "turns.jsonl").read_text("utf-8").splitlines()
        assert json.loads(turns[0])["payload"] == {"question": "Wer bist du?", "n": 1}

    def test_is_the_same_each_time(self, tmp_path: Path) -> None:
        backwards = an_image(with_opaque=False)
        backwards = replace(backwards, protos=dict(reversed(list(backwards.protos.items()))))
        export_text(tmp_path / "one", an_image(with_opaque=False))
        export_text(tmp_path / "two", backwards)
        assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
        one, two = ({"s": encode_slot(set(names), "s")} for names in (["ab", "cd", "ef"], ["ef", "cd", "ab"]))
        assert content_hash(one_proto(slots=one)) == content_hash(one_proto(slots=two))

    def test_has_no_name_that_leads_out_of_it(self, tmp_path: Path) -> None:
        export_text(tmp_path / "out", an_image())
        names = sorted(path.name for path in (tmp_path / "out" / "protos").iterdir())
        assert names[:2] == ["%2E%2E%2F%C3%9Cber%2F%20%2E%0A", "BRICK"]
        assert names[3].startswith("brick~")
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    @given(st.sets(st.text(st.characters()), max_size=8))
    def test_has_a_name_of_its_own_for_each(self, names: set[str]) -> None:
        labels = text_export._Labels()
        made = [labels.of(name) for name in sorted(names)]
        assert len({label.casefold() for label in made}) == len(names)
        assert all(len(label) < 200 and label.isascii() and not set(label) & set("/.\\\0 ") for label in made)

    def test_follows_a_smaller_image_and_keeps_what_is_not_its_own(self, tmp_path: Path) -> None:
        out = tmp_path / "out"
        export_text(out, an_image())
        (out / "README.md").write_text("mine")
        (out / ".git").mkdir()
        smaller = one_proto()
        export_text(out, smaller)
        assert set(files_of(out)) == {"image.toml", "README.md", "protos/A/codex.toml", "protos/A/state.json"}
        assert not (out / "protos" / "BRICK").exists()
        assert content_hash(import_text(out)) == content_hash(smaller)

    def test_is_refused_where_something_else_lies(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(CallerError):
            export_text(tmp_path, an_image())
        assert files_of(tmp_path) == {"notes.txt": b"mine"}
        with pytest.raises(CallerError):
            export_text(tmp_path / "notes.txt", an_image())

    @pytest.mark.parametrize("place", ["protos", "protos/A", "protos/A/methods", "protos/A/state.json", "turns.jsonl"])
    def test_is_refused_where_a_link_lies(self, tmp_path: Path, place: str) -> None:
        out, outside = tmp_path / "out", tmp_path / "outside"
        outside.mkdir()
        out.mkdir()
        (out / "image.toml").write_text("")
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        (out / place).symlink_to(outside)
        with pytest.raises(CallerError, match="link"):
            export_text(out, an_image())
        assert list(outside.iterdir()) == []

    def test_says_that_it_is_incomplete_when_the_disk_was_full(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = Path.write_bytes

        def full(path: Path, data: bytes) -> int:
            if path.suffix == ".py":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(path, data)

        out = tmp_path / "out"
        with monkeypatch.context() as disk:
            disk.setattr(Path, "write_bytes", full)
            with pytest.raises(DiskFull):
                export_text(out, an_image())
        with pytest.raises(CallerError, match="not finished"):
            import_text(out)
        export_text(out, an_image())
        assert content_hash(import_text(out)) == content_hash(an_image())

    def test_takes_json_only(self) -> None:
        for content in (
            one_proto(codex={"role": threading.Lock()}),
            PortableImage(CREATED, {}, {"A": ({"x": threading.Lock()},)}),
        ):
            with pytest.raises(CallerError, match="JSON"):
                content_hash(content)


class TestTheContentHash:
    @pytest.mark.parametrize(
        "other",
        [
            one_proto(codex={"role": "s"}),
            one_proto(parents=("B",)),
            one_proto(slots={"x": encode_slot(1, "x")}),
            one_proto(slots={"x": encode_slot(True, "x")}),
            one_proto(slots={"x": encode_slot(1.0, "x")}),
            one_proto(methods={"m": MethodSnapshot("", "a")}),
            one_proto(methods={"m": MethodSnapshot("", "b")}),
            replace(one_proto(), history={"A": ({"act": "swap"},)}),
            replace(one_proto(), records=(PortableRecord("turn", "1", b"{}", CREATED),)),
            replace(one_proto(), records=(PortableRecord("turn", "1", b"{}", CREATED, "text"),)),
        ],
    )
    def test_tells_contents_apart(self, other: PortableImage) -> None:
        assert content_hash(other) != content_hash(one_proto())


class TestAStrangersFolder:
    def test_brings_methods_that_nobody_trusts(self, tmp_path: Path) -> None:
        export_text(tmp_path / "out", an_image())
        methods = import_text(tmp_path / "out").protos["BRICK"].methods
        assert {method.author for method in methods.values()} == {"import:architect", "import:model:qwen3.5"}
        assert methods["greet"].source == GREET

    def test_brings_opaque_values_that_are_never_loaded(self, tmp_path: Path) -> None:
        export_text(tmp_path / "out", an_image())
        native = import_text(tmp_path / "out").protos["BRICK"].slots["native"]
        assert isinstance(decode_slot(native, "native", trusted=True), Placeholder)

    def test_may_not_bring_pickles_of_its_own(self, tmp_path: Path) -> None:
        export_text(tmp_path / "out", one_proto())
        state = tmp_path / "out" / "protos" / "A" / "state.json"
        for hostile in (b"P\x01\x80\x05cos\nsystem\n.", b"P\x01\x80\x05Nr\xff\xff\xff\x7f.", b"nonsense"):
            state.write_text(json.dumps({"x": {"$slot": base64.b64encode(hostile).decode()}}))
            with pytest.raises(IntegrityError, match="state"):
                import_text(tmp_path / "out")

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("image.toml", "format = "),
            ("image.toml", "format = 1\ncomplete = true\n"),
            ("protos/A/codex.toml", "name = 1"),
            ("protos/A/state.json", "[1]"),
            ("protos/A/state.json", "[" * 100_000),
            ("protos/A/state.json", '{"x": {"$nonsense": 1}}'),
            ("protos/A/state.json", '{"x": {"$ref": 7}}'),
            ("protos/A/state.json", '{"x": {"$datetime": "2026-01-01", "tz": "UTC"}}'),
            ("protos/A/state.json", '{"x": {"$set": [[]]}}'),
            ("protos/A/state.json", '{"x": {"$bytes": "*"}}'),
            ("protos/A/state.json", '{"x": {"$slot": "*"}}'),
            ("protos/A/state.json", "1e999999999"),
            ("protos/A/methods/m.py", "def m(self): ..."),
            ("protos/A/methods/m.py", "# author: x\n# reads: []\n# writes: []\n# reason: \n# method: m\n\n"),
            ("protos/A/methods/m.py", '# author: ""\n# reads: []\n# writes: []\n# reason: ""\n# method: "m"\nx\n'),
            ("protos/A/history.jsonl", "{"),
            ("turns.jsonl", "{}"),
            ("turns.jsonl", '{"kind": "turn", "key": "1", "at": "2026-01-01", "payload": {}}'),
            ("removed.jsonl", "[]\n[]"),
        ],
    )
    def test_that_is_broken_is_refused_by_the_files_name(self, tmp_path: Path, file: str, text: str) -> None:
        out = tmp_path / "out"
        export_text(out, one_proto())
        (out / file).parent.mkdir(exist_ok=True)
        (out / file).write_text(text)
        with pytest.raises(CallerError, match=Path(file).name.replace(".", r"\.")):
            import_text(out)

    def test_that_is_no_export_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CallerError, match="not a text export"):
            import_text(tmp_path)
        with pytest.raises(CallerError):
            import_text(tmp_path / "nothing")

    def test_that_is_newer_is_refused(self, tmp_path: Path) -> None:
        export_text(tmp_path / "out", one_proto())
        marker = tmp_path / "out" / "image.toml"
        marker.write_text(marker.read_text().replace("format = 1", "format = 2"))
        with pytest.raises(ImageTooNew):
            import_text(tmp_path / "out")

    def test_with_one_proto_twice_is_refused(self, tmp_path: Path) -> None:
        export_text(tmp_path / "out", one_proto())
        (tmp_path / "out/protos/B").mkdir()
        (tmp_path / "out/protos/B/codex.toml").write_bytes((tmp_path / "out/protos/A/codex.toml").read_bytes())
        (tmp_path / "out/protos/B/state.json").write_text("{}")
        with pytest.raises(CallerError, match="twice"):
            import_text(tmp_path / "out")

    @pytest.mark.parametrize("file", ["image.toml", "protos/A/state.json", "turns.jsonl"])
    def test_with_links_or_pipes_in_it_is_refused(self, tmp_path: Path, file: str) -> None:
        export_text(tmp_path / "out", one_proto())
        secret = tmp_path / "secret"
        secret.write_text("{}")
        path = tmp_path / "out" / file
        path.unlink(missing_ok=True)
        path.symlink_to(secret)
        with pytest.raises(CallerError, match="link"):
            import_text(tmp_path / "out")
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(CallerError, match="not a file"):
            import_text(tmp_path / "out")

    def test_with_a_file_too_long_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        export_text(tmp_path / "out", an_image())
        monkeypatch.setattr(text_export, "MAX_FILE_BYTES", 100)
        with pytest.raises(CallerError, match="more than 100"):
            import_text(tmp_path / "out")

    def test_that_needs_what_is_not_here_says_so(self, tmp_path: Path) -> None:
        export_text(tmp_path / "out", one_proto())
        state = tmp_path / "out" / "protos" / "A" / "state.json"
        state.write_text('{"x": {"$zone": "Nowhere/Atlantis"}}')
        with pytest.raises(Unsupported, match="Atlantis"):
            import_text(tmp_path / "out")

    @given(JSON)
    def test_may_say_anything_in_a_state(self, node: Any) -> None:
        with suppress(A4PSError, ValueError, TypeError, KeyError, plain.Lacking):
            text_export._slot_of(node, "state")


class TestFormatOne:
    def test_is_read_for_ever(self, tmp_path: Path) -> None:
        content = import_text(FORMATS / "text-1")
        assert content_hash(content) == content_hash(an_image(with_opaque=False))
        export_text(tmp_path / "out", an_image(with_opaque=False))
        assert files_of(tmp_path / "out") == files_of(FORMATS / "text-1")

    def test_an_opaque_value_in_it_stays_a_placeholder(self) -> None:
        raw = base64.b64encode(encode_slot(opaque(1), "x")).decode()
        assert text_export._slot_of({"$slot": raw}, "x")[:1] == b"F"
