"""The full-text index: an FTS5 table over the rows' texts, rebuildable from the rows at any time.

Scripts without spaces between words are indexed in pairs of letters (`unspaced.py`). The index says which form its entries
have; one of another form is made anew as a damaged one is.

It is contentless: the text is kept once, inside the signed body of its row. SQLite 3.40 cannot delete from such a table
by rowid (3.43 can), but it can by rowid and text, and the text is in the body. Each entry's rowid is its row's place.
Nothing in the index is signed; what a search returns is read and verified from the rows.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import zip_longest

from a4ps.errors import CallerError
from a4ps.image import unspaced
from a4ps.image.connections import is_worlds

SHADOW_PREFIX = "search_"

_CREATE = "CREATE VIRTUAL TABLE search USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2')"
# The form of the entries, beside FTS5's own settings, which reads past names that it does not know.
_FORM = ("a4ps-form", 2)
_SAY_FORM = "INSERT INTO search_config VALUES (?, ?)"
_IS_FORM = "SELECT 1 FROM search_config WHERE k = ? AND v = ?"
# How to copy each of FTS5's own tables: empty the old one, read the new one, write it into the old one.
_COPIES = (
    ("DELETE FROM search_data", "SELECT id, block FROM search_data", "INSERT INTO search_data VALUES (?, ?)"),
    ("DELETE FROM search_idx", "SELECT segid, term, pgno FROM search_idx", "INSERT INTO search_idx VALUES (?, ?, ?)"),
    ("DELETE FROM search_docsize", "SELECT id, sz FROM search_docsize", "INSERT INTO search_docsize VALUES (?, ?)"),
    ("DELETE FROM search_config", "SELECT k, v FROM search_config", "INSERT INTO search_config VALUES (?, ?)"),
)
_RANKED = "SELECT rowid, -rank FROM search WHERE search MATCH ? ORDER BY rank LIMIT ? OFFSET ?"
_HOLDERS = "SELECT count(*) FROM search WHERE search MATCH ?"
# Of each word: the places that have it, and each of them with the word's weight, which follows from how many they are.
_PLACES = "w{0} AS MATERIALIZED (SELECT rowid AS place FROM search WHERE search MATCH ?)"
_HITS = "SELECT place, (SELECT word_weight(count(*)) FROM w{0}) AS weight FROM w{0}"
_WEIGHED = (
    "WITH {places} SELECT place, sum(weight) AS score FROM ({hits}) GROUP BY place "
    "ORDER BY score DESC, place DESC LIMIT ? OFFSET ?"
)

#: Of more words the first are counted, and of those the rarest searched for: a question hardly has as many.
COUNTED_WORDS, SEARCHED_WORDS = 64, 24

_TERMS = "CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, search, instance)"

#: Each commit adds a piece to the index, and every form of every word wanted is looked up in each piece: so few are let
#: gather (FTS5's own measure is 16) before they become one. With 2 they are fewest, and a large image's longest commit is
#: twice as long.
_PIECES_MAX = 3


def create(connection: sqlite3.Connection) -> None:
    connection.execute(_CREATE)
    connection.execute("INSERT INTO search (search, rank) VALUES ('crisismerge', ?)", (_PIECES_MAX,))
    connection.execute(_SAY_FORM, _FORM)


def is_of_this_form(connection: sqlite3.Connection) -> bool:
    """Whether the entries have the form that this A4PS looks for. Raises sqlite3.Error for the disk's errors only."""
    try:
        return connection.execute(_IS_FORM, _FORM).fetchone() is not None
    except sqlite3.Error as error:
        if is_worlds(error):
            raise
        return False


def add(connection: sqlite3.Connection, texts: Iterable[tuple[int, str]]) -> None:
    """Index (place, text) pairs inside the caller's transaction."""
    indexed = ((place, unspaced.for_index(text)) for place, text in texts)
    connection.executemany("INSERT INTO search (rowid, text) VALUES (?, ?)", indexed)


def rebuild(connection: sqlite3.Connection, texts: Iterable[tuple[int, str]]) -> None:
    """Make the index anew inside the caller's transaction, on a connection that has not used it yet.

    The new one is built in memory and its tables are copied: where the old one is damaged, FTS5 can refuse everything,
    even to drop it.
    """
    with closing(_fresh(texts)) as fresh:
        fresh.execute("INSERT INTO search (search) VALUES ('optimize')")
        for delete, select, insert in _COPIES:
            connection.execute(delete)
            connection.executemany(insert, fresh.execute(select))


def holds(connection: sqlite3.Connection, place: int) -> bool:
    """Whether the row at `place` was indexed at all. Raises sqlite3.Error for the disk's errors only."""
    try:
        return connection.execute("SELECT 1 FROM search_docsize WHERE id = ?", (place,)).fetchone() is not None
    except sqlite3.Error as error:
        if is_worlds(error):
            raise
        return False


class IndexDamaged(Exception):
    """SQLite could not read the full-text index."""


class Ranked:
    """The places that an FTS5 expression finds, by bm25 with the sign turned, best first: called with limit and offset.

    Raises CallerError where it is no expression, IndexDamaged, and sqlite3.Error for the disk's errors.
    """

    def __init__(self, connection: sqlite3.Connection, match: str) -> None:
        self._connection = connection
        self._match = match

    def __call__(self, limit: int, offset: int) -> list[tuple[int, float]]:
        try:
            return self._connection.execute(_RANKED, (unspaced.for_match(self._match), limit, offset)).fetchall()
        except sqlite3.Error as error:
            if is_worlds(error):
                raise
            if not is_expression(self._match):
                raise CallerError(
                    f"this is not a full-text expression: {self._match!r} ({error})", next_step="quote the words"
                ) from error
            raise IndexDamaged from error


class Weighed:
    """The places that have some of the words, by the sum of the words' weights: called with limit and offset.

    A word, or any of its forms where there are several, weighs `connections.word_weight` of how many texts have it.
    Raises as `Ranked`.
    """

    def __init__(self, connection: sqlite3.Connection, words: Sequence[str | Sequence[str]]) -> None:
        self._connection = connection
        self._phrases = [_any_of((word,) if isinstance(word, str) else word) for word in words[:COUNTED_WORDS]]
        if len(self._phrases) > SEARCHED_WORDS:
            self._phrases.sort(key=lambda phrase: (self._all(_HOLDERS, (phrase,))[0][0], phrase))
            del self._phrases[SEARCHED_WORDS:]
        numbers = range(len(self._phrases))
        self._query = _WEIGHED.format(
            places=", ".join(map(_PLACES.format, numbers)), hits=" UNION ALL ".join(map(_HITS.format, numbers))
        )

    def __call__(self, limit: int, offset: int) -> list[tuple[int, float]]:
        return self._all(self._query, (*self._phrases, limit, offset)) if self._phrases else []

    def _all(self, query: str, values: tuple[object, ...]) -> list[tuple[int, float]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            if is_worlds(error):
                raise
            raise IndexDamaged from error


def _any_of(forms: Sequence[str]) -> str:
    return " OR ".join(map(unspaced.phrase, forms))


def is_expression(match: str) -> bool:
    """Whether FTS5 takes `match`; asked of an empty index, so that damage cannot be mistaken for a wrong expression."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        create(empty)
        try:
            empty.execute("SELECT rowid FROM search WHERE search MATCH ?", (match,)).fetchall()
        except sqlite3.Error:
            return False
        return True


def matches(connection: sqlite3.Connection, texts: Iterable[tuple[int, str]]) -> bool:
    """Whether the index says what a new one over `texts` would say, term by term. Raises sqlite3.Error on damage."""
    with closing(_fresh(texts)) as fresh:
        for has_terms in (connection, fresh):
            has_terms.execute("DROP TABLE IF EXISTS temp.terms")
            has_terms.execute(_TERMS)
        # A scan does not use FTS5's own table of where each term begins, a look-up does: so each term is looked up too.
        counts: Counter[object] = Counter()
        for left, right in zip_longest(_instances(connection), _instances(fresh)):
            if left != right:
                return False
            counts[left[0]] += 1
        look_up = "SELECT count(*) FROM temp.terms WHERE term = ?"
        found = all(connection.execute(look_up, (term,)).fetchone()[0] == count for term, count in counts.items())
        return found and _sizes(connection) == _sizes(fresh)


def _fresh(texts: Iterable[tuple[int, str]]) -> sqlite3.Connection:
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        create(fresh)
        fresh.execute("BEGIN")
        add(fresh, texts)
        fresh.execute("COMMIT")
    except BaseException:
        fresh.close()
        raise
    return fresh


def _instances(connection: sqlite3.Connection) -> Iterator[tuple[object, ...]]:
    yield from connection.execute("SELECT term, doc, offset FROM temp.terms")


def _sizes(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT id, sz FROM search_docsize ORDER BY id").fetchall()
