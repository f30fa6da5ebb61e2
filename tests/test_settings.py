"""Settings: who wins, what is refused, and that a refusal says where."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from a4ps.errors import SettingsError
from a4ps.settings import Loaded, Settings, load, write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "a4ps.toml"


def given_text(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def loaded(file: Path, text: str, **environ: str) -> Loaded:
    return load(given_text(file, text), environ)


def refusal(file: Path, text: str, **environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        loaded(file, text, **environ)
    return caught.value


class TestPrecedence:
    def test_without_file_and_variables_all_is_default(self, file: Path) -> None:
        found = load(file, {})
        assert found.settings == Settings.model_validate({})
        assert set(found.origins.values()) == {"default"}
        assert set(found.origins) == set(Settings.model_fields)
        assert found.ignored == ()

    def test_a_variable_wins_over_the_file_and_the_file_over_the_default(self, file: Path) -> None:
        """Each origin is told: the default, the file with its line, or the variable."""
        found = loaded(file, "# mine\nrounds_max = 3\n\nnum_ctx = 2048\n", A4PS_ROUNDS_MAX="5", HOME="/x")
        assert (found.settings.rounds_max, found.origins["rounds_max"]) == (5, "A4PS_ROUNDS_MAX")
        assert (found.settings.num_ctx, found.origins["num_ctx"]) == (2048, "a4ps.toml:4")
        assert (found.settings.recall_limit, found.origins["recall_limit"]) == (3, "default")

    def test_ollamas_own_variable_counts_unless_ours_is_set(self, file: Path) -> None:
        theirs = loaded(file, 'ollama_host = "a:1"', OLLAMA_HOST=" b:2 ")
        assert (theirs.settings.ollama_host, theirs.origins["ollama_host"]) == ("b:2", "OLLAMA_HOST")
        ours = loaded(file, "", OLLAMA_HOST="b:2", A4PS_OLLAMA_HOST="c:3")
        assert (ours.settings.ollama_host, ours.origins["ollama_host"]) == ("c:3", "A4PS_OLLAMA_HOST")
        assert loaded(file, 'ollama_host = "a:1"', OLLAMA_HOST="  ").settings.ollama_host == "a:1"

    def test_lines_are_counted_as_editors_count_them(self, file: Path) -> None:
        """A line separator inside a comment is no new line; a key inside a table is not the key itself."""
        found = loaded(file, '# a\u2028b\x85c\n"rounds_max" = 3\n[models]\nBRICK = "m"\n')
        assert found.origins["rounds_max"] == "a4ps.toml:2"
        assert found.origins["models"] == "a4ps.toml:3"

    def test_variables_that_are_no_settings_are_reported(self, file: Path) -> None:
        found = loaded(file, "", A4PS_ROUND_MAX="3", A4PS_HOME="/x", A4PS_LONG="1", _A4PS_COMPLETE="z")
        assert found.ignored == ("A4PS_ROUND_MAX",)

    @pytest.mark.parametrize(
        ("name", "raw", "value"),
        [
            ("TURN_BUDGET_S", "2.5", 2.5),
            ("TURN_BUDGET_S", "60", 60.0),
            ("NUM_CTX", "4096", 4096),
            ("PROFILE", "duo", "duo"),
            ("THINK", "BRICK, ROBIN,", frozenset({"BRICK", "ROBIN"})),
            ("THINK", "", frozenset()),
            ("MODELS", "BRICK=qwen3.5:4b, ROBIN=a=b", {"BRICK": "qwen3.5:4b", "ROBIN": "a=b"}),
            ("MODELS", "", {}),
        ],
    )
    def test_a_variable_is_one_word_for_any_type(self, file: Path, name: str, raw: str, value: object) -> None:
        found = loaded(file, "", **{f"A4PS_{name}": raw})
        assert getattr(found.settings, name.lower()) == value

    def test_lists_and_tables_are_toml_in_the_file(self, file: Path) -> None:
        text = 'think = ["BRICK"]\nturn_budget_s = 60\n[models]\nBRICK = "qwen3.5:4b"\nBABS = "gemma4"\n'
        settings = loaded(file, text).settings
        assert settings.think == {"BRICK"}
        assert settings.turn_budget_s == 60.0
        assert settings.models == {"BRICK": "qwen3.5:4b", "BABS": "gemma4"}

    def test_a_byte_order_mark_is_no_part_of_the_text(self, file: Path) -> None:
        found = loaded(file, "\ufeffrounds_max = 3\n")
        assert (found.settings.rounds_max, found.origins["rounds_max"]) == (3, "a4ps.toml:1")


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "line", "key"),
        [
            ("rounds_max = 2\nprofile = fast\n", 2, "profile"),
            ('rounds_max = 2\n\nprofile = "fast\nnum_ctx = 2048\n', 3, "profile"),
            ("rounds_max = 2\nrounds_max = 3\n", 2, "rounds_max"),
            ("rounds_max =\n", 1, "rounds_max"),
            ("a = 2021-13-45\n", 1, "a"),
            ('profile = """fast\n', 2, "(end of file)"),
        ],
    )
    def test_broken_toml_is_refused_with_file_line_and_key(self, file: Path, text: str, line: int, key: str) -> None:
        error = refusal(file, text)
        assert f"{file}, line {line}, key {key}: " in error.message
        assert error.next_step == f"edit {file}"
        assert error.exit_code == 2

    @pytest.mark.parametrize("text", [f"num_ctx = {'9' * 5000}", f"think = {'[' * 3000}"], ids=["digits", "nesting"])
    def test_what_python_itself_cannot_read_is_refused_too(self, file: Path, text: str) -> None:
        assert str(file) in refusal(file, text).message

    @pytest.mark.parametrize(
        ("key", "hint"),
        [("profil", "profile"), ("round_max", "rounds_max"), ("numctx", "num_ctx"), ("zzz", "a4ps config")],
    )
    def test_an_unknown_key_is_refused_and_the_nearest_named(self, file: Path, key: str, hint: str) -> None:
        error = refusal(file, f"# first\n{key} = 1\n")
        assert f"{file}, line 2: " in error.message
        assert key in error.message
        assert hint in error.next_step

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ("rounds_max = 0", "rounds_max"),
            ("rounds_max = 9", "rounds_max"),
            ("rounds_max = 2.5", "rounds_max"),
            ("rounds_max = 2.0", "rounds_max"),
            ("rounds_max = true", "rounds_max"),
            ('rounds_max = "2"', "rounds_max"),
            ("rounds_max = []", "rounds_max"),
            ("recall_floor = nan", "recall_floor"),
            ("recall_floor = true", "recall_floor"),
            ("turn_budget_s = inf", "turn_budget_s"),
            ("turn_budget_s = 0", "turn_budget_s"),
            ("profile = 'five'", "profile"),
            ("profile = 4", "profile"),
            ("ollama_host = 11434", "ollama_host"),
            ("ollama_host = ''", "ollama_host"),
            ("ollama_host = ' '", "ollama_host"),
            ("[models]\nBRICK = ''", "models.BRICK"),
            ("think = 'BRICK'", "think"),
            ("think = ['BRUCE']", "think"),
            ("models = 'x'", "models"),
            ("[models]\nBRICK = 3", "models.BRICK"),
            ("[models]\nBRUCE = 'x'", "models.BRUCE"),
            ("[[models]]\nBRICK = 'x'", "models"),
            ("[rounds_max]", "rounds_max"),
        ],
    )
    def test_a_wrong_type_or_value_is_refused_with_line_and_key(self, file: Path, text: str, key: str) -> None:
        error = refusal(file, f"# first\nnum_ctx = 2048\n{text}\n")
        assert f"{file}, line 3: {key}" in error.message
        assert error.next_step == f"edit {file}"

    def test_a_refusal_writes_names_as_they_must_be_written(self, file: Path) -> None:
        assert "'BRICK'" in refusal(file, "[models]\nbrick = 'x'").message

    @pytest.mark.parametrize(
        ("name", "raw"),
        [
            ("A4PS_ROUNDS_MAX", "many"),
            ("A4PS_ROUNDS_MAX", ""),
            ("A4PS_ROUNDS_MAX", "2.5"),
            ("A4PS_NUM_CTX", "1" * 5000),
            ("A4PS_TURN_BUDGET_S", "nan"),
            ("A4PS_MODELS", "BRICK"),
            ("A4PS_MODELS", "BRUCE=x"),
            ("A4PS_THINK", "BRICK;ROBIN"),
            ("A4PS_ENGINE", "cloud"),
            ("A4PS_OLLAMA_HOST", ""),
            ("A4PS_MODELS", "BRICK="),
        ],
    )
    def test_a_wrong_variable_is_named(self, file: Path, name: str, raw: str) -> None:
        error = refusal(file, f"{name.removeprefix('A4PS_').lower()} = 1\n" if "ROUNDS" in name else "", **{name: raw})
        assert error.message.startswith(f"{name}: {name.removeprefix('A4PS_').lower()}")

    def test_a_file_that_is_no_text_is_refused(self, file: Path) -> None:
        file.parent.mkdir()
        file.write_bytes(b"rounds_max = 2 # caf\xe9\n")
        with pytest.raises(SettingsError, match=r"not UTF-8 text \(byte 20\)"):
            load(file, {})

    def test_a_folder_in_its_place_is_refused(self, file: Path) -> None:
        file.mkdir(parents=True)
        with pytest.raises(SettingsError, match="cannot be read"):
            load(file, {})

    def test_settings_cannot_be_changed_in_place(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Settings.model_validate({}).rounds_max = 3  # type: ignore[misc]


WORDS = [
    *Settings.model_fields,
    *"= [ ] { } ' \" , . # true nan 1 2.5 BRICK 'fast' ['BRICK'] \n [models] \ufeff".split(" "),
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS)).map(" ".join)))
def test_any_text_loads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever a4ps.toml holds, nothing but a `SettingsError` comes out of it."""
    file = tmp_path_factory.mktemp("any") / "a4ps.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    fault = None
    try:
        load(file, {})
    except SettingsError as error:
        fault = error
    assert fault is None or (str(file) in fault.message and fault.next_step)


@given(
    st.dictionaries(st.sampled_from(sorted(Settings.model_fields)).map(lambda key: f"A4PS_{key.upper()}"), st.text())
)
def test_any_variable_loads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]) -> None:
    fault = None
    try:
        load(Path("no such a4ps.toml"), environ)
    except SettingsError as error:
        fault = error
    assert fault is None or any(name in fault.message for name in environ)


class TestWrite:
    def test_one_value_changes_and_all_else_stays(self, file: Path) -> None:
        """Comments, order and spelling of the file are kept."""
        given_text(file, "# mine\nnum_ctx = 2_048 # small\n\nrounds_max = 1\n[models]\nBRICK = 'x' # his\n")
        write(file, "rounds_max", "3")
        assert file.read_text() == "# mine\nnum_ctx = 2_048 # small\n\nrounds_max = 3\n[models]\nBRICK = 'x' # his\n"

    def test_a_new_key_does_not_fall_into_a_table(self, file: Path) -> None:
        given_text(file, "[models]\nBRICK = 'x'\n")
        write(file, "rounds_max", "3")
        settings = load(file, {}).settings
        assert (settings.rounds_max, settings.models) == (3, {"BRICK": "x"})

    def test_file_and_folder_are_made(self, file: Path) -> None:
        write(file, "think", "BRICK,ROBIN")
        write(file, "models", "BRICK=m:1")
        settings = load(file, {}).settings
        assert settings.think == {"BRICK", "ROBIN"}
        assert settings.models == {"BRICK": "m:1"}
        assert [path.name for path in file.parent.iterdir()] == ["a4ps.toml"]

    def test_a_link_stays_one_and_what_it_leads_to_changes(self, file: Path) -> None:
        kept = file.parent.parent / "dotfiles" / "mine.toml"
        kept.parent.mkdir()
        kept.write_text("# mine\nrounds_max = 1\n")
        file.parent.mkdir()
        file.symlink_to(Path("../dotfiles/mine.toml"))
        write(file, "rounds_max", "3")
        assert file.is_symlink()
        assert kept.read_text() == "# mine\nrounds_max = 3\n"
        assert [path.name for path in kept.parent.iterdir()] == ["mine.toml"]

    def test_a_link_that_leads_to_itself_is_named(self, file: Path) -> None:
        file.parent.mkdir()
        file.symlink_to(file)
        with pytest.raises(SettingsError, match="cannot be read"):
            write(file, "rounds_max", "3")

    def test_a_file_with_a_byte_order_mark_can_be_changed(self, file: Path) -> None:
        given_text(file, "\ufeffrounds_max = 1\n")
        write(file, "rounds_max", "3")
        assert load(file, {}).settings.rounds_max == 3

    @pytest.mark.parametrize(
        ("key", "raw"),
        [
            ("rounds_max", "0"),
            ("ollama_host", ""),
            ("rounds_max", "three"),
            ("turn_budget_s", "nan"),
            ("models", "BRICK"),
            ("models", "brick=x"),
            ("think", "everyone"),
            ("ollama_host", "\udcff"),
            ("profil", "duo"),
        ],
    )
    def test_what_is_invalid_is_refused_and_the_file_untouched(self, file: Path, key: str, raw: str) -> None:
        given_text(file, "# mine\nnum_ctx = 2048\n")
        with pytest.raises(SettingsError) as caught:
            write(file, key, raw)
        assert key in caught.value.message
        assert file.read_text() == "# mine\nnum_ctx = 2048\n"

    def test_a_broken_file_is_named_not_overwritten(self, file: Path) -> None:
        given_text(file, 'profile = "fast\n')
        with pytest.raises(SettingsError, match="line 1, key profile"):
            write(file, "rounds_max", "3")
        assert file.read_text() == 'profile = "fast\n'

    def test_another_invalid_value_is_blamed_where_it_stands(self, file: Path) -> None:
        given_text(file, "# mine\nrounds_max = 99\n")
        with pytest.raises(SettingsError, match=r"a4ps\.toml, line 2: rounds_max"):
            write(file, "num_ctx", "2048")

    def test_an_invalid_value_can_be_mended(self, file: Path) -> None:
        given_text(file, "rounds_max = 99\n")
        write(file, "rounds_max", "3")
        assert load(file, {}).settings.rounds_max == 3

    def test_a_folder_that_cannot_be_written_is_named(self, file: Path) -> None:
        file.parent.write_text("a file where the home should be")
        with pytest.raises(SettingsError) as caught:
            write(file, "rounds_max", "3")
        assert str(file) in caught.value.message


@st.composite
def assignments(draw: DrawFn) -> tuple[str, str]:
    key = draw(st.sampled_from(["ollama_host", "rounds_max", "recall_floor", "profile", "models", "think"]))
    return key, draw(
        st.one_of(st.text(), st.integers().map(str), st.floats().map(str), st.just("BRICK=x"), st.just("duo"))
    )


@given(st.lists(assignments(), max_size=6))
def test_what_was_written_is_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, assigned: list[tuple[str, str]]
) -> None:
    """After any writes the file loads; each value is the last one accepted for its key."""
    file = tmp_path_factory.mktemp("any") / "a4ps.toml"
    expected: dict[str, object] = {}
    for key, raw in assigned:
        try:
            write(file, key, raw)
        except SettingsError:
            continue
        expected[key] = getattr(load(file, {}).settings, key)
        if key in ("ollama_host", "profile"):
            assert expected[key] == raw
    settings = load(file, {}).settings
    assert {key: getattr(settings, key) for key in expected} == expected
    assert math.isfinite(settings.recall_floor)
