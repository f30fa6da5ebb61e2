"""Times that a question about the conversation points to: "yesterday", "last week", "on Friday", "in March 2025".

Days are those of the user's time zone, weeks begin on Monday, seasons are those of the north. A weekday or month without a
year is the latest one that has begun; a weekday is never today, which has its own word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from a4ps.memory.words import content_words

# A question is about the conversation when somebody of it (I, you, we) did a thing that conversations consist of.
# "Should I tell her before Friday?" is not: only what was done counts.
_CONVERSATION = re.compile(
    r"\bdid (i|we|you)\b[^.?!]{0,40}\b(ask|say|tell|talk|discuss|mention|answer|advise|recommend|decide|speak|suggest)\b"
    r"|\b(was i|were (we|you)) (asking|saying|telling|talking|discussing|speaking)\b"
    r"|\b(i|we|you)\b[^.?!]{0,40}\b(asked|said|told|talked|discussed|mentioned|answered|advised|recommended|decided|"
    r"spoke|spoken|suggested)\b"
    r"|\b(my|our|your) (last|previous|earlier|first) (question|questions|answer|answers|conversation|turn|topic)\b"
    r"|\b(last|previous) (question|answer|conversation|turn)\b",
    re.IGNORECASE,
)

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_NUMBERS = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
}

_DAY, _MONTH, _YEAR = "|".join(_DAYS), "|".join(_MONTHS), r"(?:19|20)\d\d"
_DATED = re.compile(
    r"\b(?:(?:the )?(?P<before_yesterday>day before yesterday)"
    r"|(?P<word>yesterday|today|this (?:morning|week|month|year)|last (?:week(?:end)?|month|year|night))"
    rf"|(?P<amount>\d{{1,4}}|{'|'.join(_NUMBERS)}) (?P<unit>hour|day|week|month|year)s? ago"
    rf"|(?:on|last|this) (?P<day>{_DAY})"
    rf"|on (?:the )?(?P<number>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<of_month>{_MONTH})(?:,? (?P<of_year>{_YEAR}))?"
    rf"|on (?P<us_month>{_MONTH}) (?P<us_number>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<us_year>{_YEAR}))?"
    rf"|(?:in|last|this) (?P<month>{_MONTH})(?: (?:of )?(?P<month_year>{_YEAR}))?"
    rf"|(?:in|last|this) (?:the )?(?P<season>{'|'.join(_SEASONS)})(?: (?:of )?(?P<season_year>{_YEAR}))?"
    rf"|in (?P<year>{_YEAR}))\b",
    re.IGNORECASE,
)
_UNDATED = re.compile(
    r"\b(before|earlier|previously|already|recently|so far|just now|last (?:time|question|answer)|last|previous)\b",
    re.IGNORECASE,
)

_TOPIC = re.compile(r"\b(about|regarding|concerning)\b", re.IGNORECASE)

_A_WORD = re.compile(r"\w\w")
#: A question with more words of its own than these is understood without the one before it.
SAYS_LITTLE = 1
_POINTS = re.compile(
    r"^\W*(and|but|so|or|what about|how about|what else|which one|explain|go on|continue|more)\b"
    r"|\b(it|its|that|this|those|these|they|them|their|he|him|his|she|her|there|one|ones|former|latter|others?)\b",
    re.IGNORECASE,
)

Stretch = tuple[datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class TimeRoute:
    """A stretch of time that a question points to. `name` are the words that did, `rest` is the question without them."""

    name: str
    after: datetime | None
    before: datetime | None
    rest: str = ""

    @property
    def dated(self) -> bool:
        return self.after is not None

    @property
    def tells(self) -> bool:
        """Whether all that was said then is an answer, if nothing of it is about the question's other words.

        "What did I ask about pianos before?" names no time, only a topic; "summarise what we said before" names none.
        """
        return self.dated or _TOPIC.search(self.rest) is None


def about_conversation(question: str) -> bool:
    """Whether a question is about what was said here, so that "nothing" is an answer to it."""
    return _CONVERSATION.search(question) is not None


def refers_back(question: str) -> bool:
    """Whether a question says hardly anything by itself and points to what was said just before: "Why that one?"."""
    says = len(content_words(question))
    return (_A_WORD if not says else _POINTS).search(question) is not None and says <= SAYS_LITTLE


def time_route(question: str, now: datetime) -> TimeRoute | None:
    """The time a question about the conversation points to, None if it is not about the conversation.

    `now` must be given in the user's time zone.
    """
    if not about_conversation(question):
        return None
    for word in _DATED.finditer(question):
        stretch = _stretch(word, now)
        if stretch is not None:
            return TimeRoute(word[0].lower(), *stretch, _without(question, word))
    undated = _UNDATED.search(question)
    if undated is not None:
        return TimeRoute(undated[0].lower(), None, None, _without(question, undated))
    # "what did I ask?" names no time and nothing else to search for
    return None if content_words(question) else TimeRoute("latest", None, None, question)


def _without(question: str, word: re.Match[str]) -> str:
    return f"{question[: word.start()]} {question[word.end() :]}"


def _stretch(word: re.Match[str], now: datetime) -> Stretch | None:
    """What the words mean, None for a date that there is not."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if word["before_yesterday"]:
        return midnight - timedelta(days=2), midnight - timedelta(days=1)
    if word["word"]:
        return _named(word["word"].lower(), midnight)
    if word["unit"]:
        amount = word["amount"].lower()
        return _ago(_NUMBERS.get(amount) or int(amount), word["unit"].lower(), now, midnight)
    if word["day"]:
        back = (midnight.weekday() - _DAYS.index(word["day"].lower()) - 1) % 7 + 1
        return midnight - timedelta(days=back), midnight - timedelta(days=back - 1)
    if word["of_month"] or word["us_month"]:
        month, number = word["of_month"] or word["us_month"], word["number"] or word["us_number"]
        return _on(_MONTHS.index(month.lower()) + 1, int(number), word["of_year"] or word["us_year"], midnight)
    if word["month"]:
        return _months(_MONTHS.index(word["month"].lower()) + 1, 1, word["month_year"], midnight)
    if word["season"]:
        return _months(_SEASONS[word["season"].lower()], 3, word["season_year"], midnight)
    first = midnight.replace(year=int(word["year"]), month=1, day=1)
    return first, _later(first, 12)


def _named(name: str, midnight: datetime) -> Stretch:
    monday, first = midnight - timedelta(days=midnight.weekday()), midnight.replace(day=1)
    january = first.replace(month=1)
    return {
        "yesterday": (midnight - timedelta(days=1), midnight),
        "last night": (midnight - timedelta(hours=6), midnight + timedelta(hours=6)),
        "today": (midnight, None),
        "this morning": (midnight, None),
        "this week": (monday, None),
        "this month": (first, None),
        "this year": (january, None),
        "last week": (monday - timedelta(days=7), monday),
        "last weekend": (monday - timedelta(days=2), monday),
        "last month": (_later(first, -1), first),
        "last year": (_later(january, -12), january),
    }[name]


def _ago(amount: int, unit: str, now: datetime, midnight: datetime) -> Stretch | None:
    """An hour or a week is meant less exactly than a day, and a month or a year as the calendar has it."""
    if unit == "hour":
        return now - timedelta(hours=amount + 1), now - timedelta(hours=amount - 1)
    if unit in ("day", "week"):
        day = midnight - timedelta(days=amount * (7 if unit == "week" else 1))
        width = 4 if unit == "week" else 1
        return day - timedelta(days=width - 1), day + timedelta(days=width)
    first = midnight.replace(day=1) if unit == "month" else midnight.replace(month=1, day=1)
    width = 1 if unit == "month" else 12
    if amount * width >= (first.year - 1) * 12:
        return None
    begin = _later(first, -amount * width)
    return begin, _later(begin, width)


def _on(month: int, number: int, year: str | None, midnight: datetime) -> Stretch | None:
    try:
        day = midnight.replace(year=int(year) if year else midnight.year, month=month, day=number)
        if not year and day > midnight:
            day = day.replace(year=day.year - 1)
    except ValueError:  # the 31st of April
        return None
    return day, day + timedelta(days=1)


def _months(month: int, width: int, year: str | None, midnight: datetime) -> Stretch:
    """So many months from a month on: of that year, or the latest that have begun."""
    first = midnight.replace(year=int(year) if year else midnight.year, month=month, day=1)
    if not year and first > midnight:
        first = first.replace(year=first.year - 1)
    return first, _later(first, width)


def _later(first: datetime, months: int) -> datetime:
    """The first of a month so many months later."""
    count = first.year * 12 + first.month - 1 + months
    return first.replace(year=count // 12, month=count % 12 + 1)
