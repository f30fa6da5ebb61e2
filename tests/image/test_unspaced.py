"""Scripts without spaces between words: what is inside a run is found, by whole words and by single letters."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.clock import ManualClock
from a4ps.image import search_index
from a4ps.image.keys import KeyFolder
from a4ps.image.rows import Row
from a4ps.image.store import Store
from a4ps.image.unspaced import for_index, for_match, pairs

TEXTS = (
    "昨日、東京タワーに登った。2024年のtower東京",
    "ผมชอบกรุงเทพมหานครมาก",
    "서울에서 만난 사람",
    "私の猫はタマ",
    "ﾀﾜｰは高い",
    "រាជធានីភ្នំពេញ",
    "ကျွန်တော်ရန်ကုန်မှာနေတယ်",
    "ຂ້ອຍຢູ່ວຽງຈັນ",
    "plain English words",
)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "image.a4ps"


@pytest.fixture
def index() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        search_index.create(connection)
        search_index.add(connection, enumerate(TEXTS))
        yield connection


@pytest.mark.parametrize(
    ("word", "places"),
    [
        ("東京", [0]),
        ("タワー", [0, 4]),
        ("登", [0]),
        ("東京タワー", [0]),
        ("tower東京", [0]),
        ("tower東", [0]),
        ("2024年", [0]),
        ("กรุงเทพ", [1]),
        ("서울", [2]),
        ("사람", [2]),
        ("猫", [3]),
        ("タマ", [3]),
        ("ภ", []),
        ("ភ្នំពេញ", [5]),
        ("ရန်ကုန်", [6]),
        ("ວຽງຈັນ", [7]),
        ("English", [8]),
        ("大阪", []),
        ("京東", []),
    ],
)
def test_a_word_is_found_within_a_run(word: str, places: list[int], index: sqlite3.Connection) -> None:
    assert sorted(place for place, _ in search_index.Weighed(index, [word])(9, 0)) == places
    assert sorted(place for place, _ in search_index.Ranked(index, word)(9, 0)) == places


def test_expressions_go_on_meaning_what_they_say(index: sqlite3.Connection) -> None:
    def found(match: str) -> list[int]:
        return sorted(place for place, _ in search_index.Ranked(index, match)(9, 0))

    assert found("東京 AND tower") == [0]
    assert found("猫 OR 서울") == [2, 3]
    assert found('"猫はタマ"') == [3]
    assert found("plain NOT 猫") == [8]


@given(st.text())
def test_what_has_no_such_script_is_left_as_it_is(text: str) -> None:
    ascii_text = text.encode("ascii", "ignore").decode()
    assert for_index(ascii_text) == for_match(ascii_text) == ascii_text
    assert pairs("a") == ["a"]


@given(st.text(alphabet="abc 。\"'*"), st.text(alphabet="東京タワーがกทพ서울", min_size=1), st.data())
def test_any_part_of_a_run_is_found_where_it_stands(around: str, run: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(run) - 1))
    end = data.draw(st.integers(begin + 1, len(run)))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        search_index.create(connection)
        search_index.add(connection, [(1, around + run + around)])
        assert search_index.Weighed(connection, [run[begin:end]])(9, 0)


def test_an_index_of_the_earlier_form_is_made_anew(image: Path, keys: KeyFolder, clock: ManualClock) -> None:
    """It held each run as one word, and did not say which form it had."""
    with Store.open(image, keys, clock) as store:
        store.commit([Row("turn", "1", b"{}", "東京タワー")], author="architect", reason="t")
    with closing(sqlite3.connect(image, isolation_level=None)) as connection:
        connection.execute("DELETE FROM search_config WHERE k = 'a4ps-form'")
        connection.execute("INSERT INTO search (search) VALUES ('delete-all')")
        (place,) = connection.execute("SELECT place FROM rows").fetchone()
        connection.execute("INSERT INTO search (rowid, text) VALUES (?, '東京タワー')", (place,))
    with Store.open(image, keys, clock) as store:
        assert [match.key for match in store.search_words(["東京"], kind="turn", limit=3)] == ["1"]
        report = store.verify(deep=True)
        assert report.ok
        assert not report.warnings
    with closing(sqlite3.connect(image, isolation_level=None)) as connection:
        assert search_index.is_of_this_form(connection)


def test_a_new_image_is_of_this_form(image: Path, keys: KeyFolder, clock: ManualClock) -> None:
    Store.open(image, keys, clock).close()
    with closing(sqlite3.connect(image)) as connection:
        assert search_index.is_of_this_form(connection)
