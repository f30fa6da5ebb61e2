"""The words of a question that say what it is about, and whether a text has them. Stop words and forms are English.

A run of a script without spaces between words (`image/unspaced.py`) has no words to be had without a dictionary: its pairs
of letters stand for them. In Japanese and Chinese what is written in hiragana, or is a particle or pronoun of one letter,
is no more than grammar as a rule, so a run falls into what lies between, of one letter if need be. Where a question has
nothing else, all of it counts. Thai and its like show no such seams, so a whole question in them is compared with its
grammar; single words of them are found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from a4ps.image.unspaced import UNSPACED, pairs

#: Two different words share a stem only if they share this many first letters.
SHARED_MIN = 4

#: What is written upon or around a letter, and no letter to `re`: without it Hindi and pointed Arabic fall into pieces.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711\u0730-\u074a"
    "\u0900-\u0903\u093a-\u0963\u0981-\u0983\u09bc-\u09e3\u0a01-\u0a03\u0a3c-\u0a51\u0a70-\u0a75\u0a81-\u0a83\u0abc-\u0acd"
    "\u0b01-\u0b03\u0b3c-\u0b57\u0b82\u0bbe-\u0bd7\u0c00-\u0c04\u0c3c-\u0c56\u0c81-\u0c83\u0cbc-\u0cd6\u0d00-\u0d03"
    "\u0d3b-\u0d57\u0d81-\u0d83\u0dca-\u0df3\u0f71-\u0f84\u0f90-\u0fbc\u200d"
)
_WORD = re.compile(rf"[^\W{UNSPACED}]+(?:[{_MARKS}]+[^\W{UNSPACED}]*)*")
#: ASCII with a space for whatever is no letter of a word.
_SPACED = bytes(number if chr(number).isalnum() or chr(number) == "_" else 32 for number in range(256))
_RUN = re.compile(f"[{UNSPACED}]+")
_WORD_OR_RUN = re.compile(f"(?:{_WORD.pattern})|{_RUN.pattern}")
_GRAMMAR = re.compile("[\u3041-\u309f的了是在吗嗎呢吧我你您他她它们們这這那哪谁誰什么麼怎也都就何]+")
_ACCENTED = re.compile("([a-z])[\u0300-\u036f]+")
_STOP_WORDS = frozenset(
    """a about after again against all along already also although always am among an and another any anybody anyone
    anything are around as at away be because been before being between both but by can could did do does doing don during
    each either else ever every everybody everyone everything few for from get give gone got had has have having he her
    here hers him his how however i if in instead into is it its itself just know let like make many may me might mine
    more most much must my myself need neither never no nobody nor nothing now of off often on once one only or other our
    ours out over own per please rather same say she should since so some somebody someone something still such take taken
    takes tell than that the their theirs them then there these they thing think this those though through to together too
    took toward towards under unless until up upon us use very was we were what when where whether which while who whom
    whose why will with within without would yes yet you your yours
    ask asked asking said told talk talked talking discuss discussed answer answered question questions mention mentioned
    advise advised recommend recommended suggest suggested remember remind earlier previously yesterday today last week
    month ago recently""".split()
)
_ENDINGS = ("s", "es", "ed", "ing", "er")
_SIBILANTS = ("s", "x", "z", "ch", "sh", "o")
_VOWELS = "aeiou"


def content_words(text: str) -> list[str]:
    """The words of `text` that say what it is about: lower case, without accents, no stop words, each once, in order.

    Of a run without spaces, its pairs of letters.
    """
    said = _WORD_OR_RUN.findall(_folded(text))
    runs = [run for run in said if _RUN.match(run)]
    words = [word for word in said if len(word) > 1 and word not in _STOP_WORDS and not _RUN.match(word)]
    content = [piece for run in runs for part in _GRAMMAR.split(run) if part for piece in pairs(part)]
    if not words:
        content = content or [piece for run in runs for piece in pairs(run)]
    return list(dict.fromkeys((*words, *content)))


def coverage(wanted: Sequence[str], text: str) -> float:
    """The share of `wanted` that `text` contains, in whatever form.

    A form is one of `forms`, or a word that shares the beginning but for three letters: so crude are stems compared. One
    matching word of several is chance, not relevance: fewer than two matches count as none unless one was wanted.
    """
    missing = set(wanted)
    by_form, by_beginning, pieces = _tables(tuple(wanted))
    if pieces:
        composed = unicodedata.normalize("NFKC", text)
        missing.difference_update(piece for piece in pieces if piece in composed)
    words = _words_of(text)
    for word in by_form.keys() & words:
        missing.difference_update(by_form[word])
    if missing:
        for word in [word for word in words - by_form.keys() if word[:SHARED_MIN] in by_beginning]:
            for other in by_beginning[word[:SHARED_MIN]]:
                shared = max(SHARED_MIN, max(len(word), len(other)) - 3)
                if other in missing and len(word) >= shared <= len(other) and word[:shared] == other[:shared]:
                    missing.discard(other)
    matches = len(wanted) - len(missing)
    return matches / len(wanted) if matches >= min(2, len(wanted)) > 0 else 0.0


def _words_of(text: str) -> set[str]:
    """Every word in it, folded."""
    folded = _folded(text)
    if folded.isascii():  # the same as the pattern finds, in a third of the time; a turn compares several long texts
        return set(folded.encode().translate(_SPACED).decode().split())
    return set(_WORD.findall(folded))


@lru_cache(16)  # a question is compared with many texts
def _tables(wanted: tuple[str, ...]) -> tuple[dict[str, list[str]], dict[str, list[str]], list[str]]:
    """Form → the words wanted that it is one of, beginning → the words wanted that begin so, and those of no spaces."""
    by_form: dict[str, list[str]] = {}
    by_beginning: dict[str, list[str]] = {}
    for word in wanted:
        by_beginning.setdefault(word[:SHARED_MIN], []).append(word)
        for form in forms(word):
            by_form.setdefault(form, []).append(word)
    return by_form, by_beginning, [word for word in wanted if _RUN.match(word)]


def _folded(text: str) -> str:
    """`text` in lower case, Latin letters without their accents, as the index has them."""
    text = text.lower()
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _ACCENTED.sub(r"\1", unicodedata.normalize("NFD", text)))


def forms(word: str) -> tuple[str, ...]:
    """A word and how else it may be written in a text: swim, swims, swimming. Some of them are no words of any language.

    Each is looked up in an index, so none is made that no word's spelling has.
    """
    if len(word) < SHARED_MIN or not word.isalpha():
        return (word, f"{word}s") if len(word) == SHARED_MIN - 1 and word.isalpha() else (word,)
    inflected = [word, f"{word}es"] if word.endswith("s") and not word.endswith("ss") else _inflected(word)
    for base in _bases(word):
        inflected += _inflected(base)
    return tuple(dict.fromkeys(inflected))


def _bases(word: str) -> list[str]:
    """What `word` may be a form of, besides of itself."""
    bases = []
    for ending in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < SHARED_MIN - 1:
            continue
        bases.append(stem)
        if not ending.endswith("s"):
            is_doubled = stem[-1] == stem[-2] and len(stem) >= SHARED_MIN
            bases.append(stem[:-1] if is_doubled else f"{stem}e")  # swimm, of swimming; snor, of snoring
    return bases


def _inflected(base: str) -> list[str]:
    """`base` and what its endings make of it."""
    if base.endswith("e"):
        return [base, f"{base}s", f"{base}d", f"{base[:-1]}ing", f"{base}r"]
    written = [base, f"{base}es" if base.endswith(_SIBILANTS) else f"{base}s"]
    stems = [base]
    if base[-3] not in _VOWELS and base[-2] in _VOWELS and base[-1] not in f"{_VOWELS}wxy":
        stems.append(base + base[-1])  # swim, for swimming
    return written + [f"{stem}{ending}" for stem in stems for ending in ("ed", "ing", "er")]
