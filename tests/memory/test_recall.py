"""Recall: what belongs to a question comes back with its reason, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from a4ps.clock import ManualClock
from a4ps.image.store import Store
from a4ps.image.turns import Contribution, Reply, Turn, TurnLog
from a4ps.memory.recall import Recalled, passage, recall
from a4ps.memory.records import Records
from a4ps.memory.times import time_route
from a4ps.memory.words import content_words, coverage, forms

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)  # a Sunday


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


class Diary:
    """A log that is filled by asking, and recalled from at the clock's time."""

    def __init__(self, store: Store, log: TurnLog, clock: ManualClock) -> None:
        self.log = log
        self.records = Records(store, log)
        self.clock = clock

    async def hears(self, question: str, answer: str = "So be it.", *, engine: str = "ollama") -> str:
        turn = await self.log.accept(Turn("", question, self.clock.now(), engine, {}, {}))
        said = Contribution("ALFRED", "synthesis", answer, "m", 1, 1, 1.0)
        await self.log.answer(turn, Reply((said,), None, False, 1, 1.0, 0.0))
        self.clock.advance(60)
        return turn.id

    def recalls(self, question: str, *, zone: str = "UTC", limit: int = 3, rehearsed: bool = False) -> list[Recalled]:
        now = self.clock.now().astimezone(ZoneInfo(zone))
        return list(recall(self.records, question, now, limit=limit, floor=0.34, rehearsed=rehearsed))

    def ids(self, question: str, *, zone: str = "UTC", limit: int = 3, rehearsed: bool = False) -> list[str]:
        return [memory.id for memory in self.recalls(question, zone=zone, limit=limit, rehearsed=rehearsed)]


@pytest.fixture
def diary(store: Store, turn_log: TurnLog, clock: ManualClock) -> Diary:
    return Diary(store, turn_log, clock)


class TestTheConversationCondition:
    @pytest.mark.parametrize(
        "question",
        [
            "What did I ask before?",
            "what have we discussed so far?",
            "What did you say earlier?",
            "Which book have you recommended last week?",
            "Do you remember what I told you yesterday?",
            "what was my last question",
            "Remind me of your previous answer.",
            "What did we decide two days ago?",
            "When did I last speak with you of rent?",
            "WHAT DID I ASK BEFORE",
            "What was I asking about last weekend?",
            "Have we talked about moths already?",
        ],
    )
    def test_a_question_of_what_was_said_points_to_a_time(self, question: str) -> None:
        assert time_route(question, NOON) is not None

    @pytest.mark.parametrize(
        "question",
        [
            "What is new in the last version of Python?",
            "Is it cold today?",
            "Should I wash rice before cooking?",
            "Should I tell my wife before I buy the car?",
            "Should we ask the landlord before Friday?",
            "Do you recommend the last edition?",
            "How did the last recession end?",
            "What happened in Rome two weeks ago?",
            "",
        ],
    )
    def test_a_time_word_alone_points_nowhere(self, question: str) -> None:
        """'Last', 'before' and 'today' occur in questions that are not about the conversation."""
        assert time_route(question, NOON) is None

    async def test_the_last_version_of_python_recalls_no_last_turn(self, diary: Diary) -> None:
        await diary.hears("Should I learn Rust or Go?", "Take Go.")
        assert diary.ids("What is the last version of Python?") == []
        assert diary.ids("Should I tell my wife before I buy the car?") == []


class TestTimes:
    @pytest.mark.parametrize(
        ("word", "after", "before"),
        [
            ("yesterday", "2026-11-21", "2026-11-22"),
            ("today", "2026-11-22", None),
            ("this morning", "2026-11-22", None),
            ("last night", "2026-11-21T18", "2026-11-22T06"),
            ("last week", "2026-11-09", "2026-11-16"),
            ("last month", "2026-10-01", "2026-11-01"),
            ("a day ago", "2026-11-21", "2026-11-22"),
            ("3 days ago", "2026-11-19", "2026-11-20"),
            ("two weeks ago", "2026-11-05", "2026-11-12"),
            ("an hour ago", "2026-11-22T10", "2026-11-22T12"),
            ("the day before yesterday", "2026-11-20", "2026-11-21"),
            ("this week", "2026-11-16", None),
            ("last weekend", "2026-11-14", "2026-11-16"),
            ("on saturday", "2026-11-21", "2026-11-22"),
            ("last monday", "2026-11-16", "2026-11-17"),
            ("on sunday", "2026-11-15", "2026-11-16"),
            ("this month", "2026-11-01", None),
            ("a month ago", "2026-10-01", "2026-11-01"),
            ("eleven months ago", "2025-12-01", "2026-01-01"),
            ("last year", "2025-01-01", "2026-01-01"),
            ("two years ago", "2024-01-01", "2025-01-01"),
            ("in 2024", "2024-01-01", "2025-01-01"),
            ("in november", "2026-11-01", "2026-12-01"),
            ("last december", "2025-12-01", "2026-01-01"),
            ("in march 2025", "2025-03-01", "2025-04-01"),
            ("on 3 december", "2025-12-03", "2025-12-04"),
            ("on the 22nd of november 2026", "2026-11-22", "2026-11-23"),
            ("on february 29, 2024", "2024-02-29", "2024-03-01"),
            ("this summer", "2026-06-01", "2026-09-01"),
            ("last winter", "2025-12-01", "2026-03-01"),
            ("before", None, None),
            ("recently", None, None),
        ],
    )
    def test_a_time_word_is_a_stretch_of_time(self, word: str, after: str | None, before: str | None) -> None:
        route = time_route(f"What did I ask {word}?", NOON)
        assert route is not None
        assert route.name == word
        assert route.after == (datetime.fromisoformat(after).replace(tzinfo=UTC) if after else None)
        assert route.before == (datetime.fromisoformat(before).replace(tzinfo=UTC) if before else None)

    def test_a_date_says_more_than_before(self) -> None:
        route = time_route("Before we go on: what did I ask yesterday?", NOON)
        assert route is not None
        assert route.name == "yesterday"

    def test_last_month_in_january_is_december(self) -> None:
        route = time_route("what did we discuss last month", datetime(2027, 1, 31, 9, tzinfo=UTC))
        assert route is not None
        assert (route.after, route.before) == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))

    def test_may_is_a_month_only_where_it_must_be(self) -> None:
        route = time_route("What did you say I may eat before Friday?", NOON)
        assert route is not None
        assert route.name == "before"

    @pytest.mark.parametrize("question", ["What did I ask on 31 April?", "What did I ask on February 29, 2025?"])
    def test_a_day_that_there_is_not_points_nowhere(self, question: str) -> None:
        assert time_route(question, NOON) is None

    @given(
        amount=st.text("0123456789", min_size=1, max_size=5000),
        unit=st.sampled_from(["hour", "hours", "days", "weeks", "months", "years"]),
    )
    def test_no_number_is_too_great(self, amount: str, unit: str) -> None:
        route = time_route(f"What did I ask {amount} {unit} ago?", NOON)
        assert route is None or (route.after is not None and route.before is not None and route.after < route.before)

    async def test_midnight_is_that_of_the_users_zone(self, diary: Diary, clock: ManualClock) -> None:
        """23:30 in Berlin is yesterday there, and today in UTC only if it is."""
        clock.at = datetime(2026, 11, 21, 22, 30, tzinfo=UTC)
        late = await diary.hears("How late is it?")
        clock.at = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
        later = await diary.hears("And now?")
        clock.at = NOON
        assert diary.ids("What did I ask yesterday?", zone="Europe/Berlin") == [late]
        assert diary.ids("What did I ask today?", zone="Europe/Berlin") == [later]
        assert diary.ids("What did I ask yesterday?") == [later, late]
        assert diary.ids("What did I ask today?") == []
        assert diary.ids("What did I ask today?", zone="Asia/Tokyo") == [later, late]

    async def test_midnight_itself_belongs_to_the_new_day(self, diary: Diary, clock: ManualClock) -> None:
        clock.at = datetime(2026, 11, 22, tzinfo=UTC)
        first = await diary.hears("Is it midnight?")
        clock.at = NOON
        assert diary.ids("what did I ask today") == [first]
        assert diary.ids("what did I ask yesterday") == []

    @pytest.mark.parametrize("now", [datetime(2026, 3, 30, 0, 30), datetime(2026, 10, 26, 0, 30)])
    def test_a_day_of_23_or_25_hours_is_one_day(self, now: datetime) -> None:
        """Yesterday ends and begins at midnight also when the clocks were changed."""
        berlin = ZoneInfo("Europe/Berlin")
        route = time_route("what did I ask yesterday", now.replace(tzinfo=berlin))
        assert route is not None
        assert route.after is not None
        assert route.before is not None
        hours = (route.before.astimezone(UTC) - route.after.astimezone(UTC)) / timedelta(hours=1)
        assert hours in (23, 25)


class TestTheTimeRoute:
    async def test_newest_first_with_score_and_source(self, diary: Diary) -> None:
        for number in range(5):
            await diary.hears(f"Question {number}?")
        found = diary.recalls("What did I ask before?")
        assert [(memory.id, memory.score, memory.source) for memory in found] == [
            ("5", 1.0, "time: before"),
            ("4", 0.91, "time: before"),
            ("3", 0.83, "time: before"),
        ]
        assert found[0].text == "asked: Question 4? · answered: So be it."

    async def test_words_narrow_a_time(self, diary: Diary, clock: ManualClock) -> None:
        """Who says what about and when gets only turns of that time that say something about it."""
        old = await diary.hears("Should I learn Rust or Go?")
        clock.advance(86_400)
        rust = await diary.hears("Is Rust faster than Go?")
        await diary.hears("Green tea or black tea?")
        clock.advance(86_400)
        found = diary.recalls("What did you say yesterday about Rust and Go?")
        assert old not in {memory.id for memory in found}
        assert [(memory.id, memory.source) for memory in found] == [(rust, "full text, time: yesterday")]
        # nothing of that time is about pianos: then all of that time is told
        assert len(diary.recalls("What did you say yesterday about pianos?")) == 2

    async def test_the_words_of_a_time_are_not_searched_for(self, diary: Diary, clock: ManualClock) -> None:
        """ "Two" and "weeks" are no part of what was talked about: one word of one is enough."""
        clock.at = datetime(2026, 11, 9, 12, tzinfo=UTC)
        chess = await diary.hears("Which chess opening is sound?")
        await diary.hears("Green tea or black tea?")
        clock.at = NOON
        assert diary.ids("What did I ask about chess two weeks ago?") == [chess]
        assert diary.ids("What did I ask last Monday about chess?") == [chess]  # it was the Monday before

    async def test_of_an_unknown_topic_nothing_was_said_before(self, diary: Diary) -> None:
        """The latest turns are no answer to a question of what was said about something else."""
        await diary.hears("Green tea or black tea?")
        assert diary.ids("Did I ask you about pianos before?") == []
        assert diary.ids("What did I ask before?") == ["1"]
        assert diary.ids("Summarise what we discussed before.") == ["1"]
        assert diary.ids("What was your last answer? Explain it to a child.") == ["1"]

    async def test_what_did_i_ask_means_the_latest(self, diary: Diary) -> None:
        await diary.hears("Green tea or black tea?")
        (found,) = diary.recalls("What did I ask?")
        assert found.source == "time: latest"

    async def test_open_turns_are_not_recalled(self, diary: Diary, turn_log: TurnLog) -> None:
        await turn_log.accept(Turn("", "Should I learn Rust?", NOON, "ollama", {}, {}))
        assert diary.ids("What did I ask before?") == []
        assert diary.ids("Should I learn Rust?") == []


class TestFullText:
    async def test_a_related_turn_comes_back_with_the_share_of_its_words(self, diary: Diary) -> None:
        await diary.hears("Should I learn Rust or Go for a command-line tool?", "Take Go: it makes one binary.")
        (found,) = diary.recalls("Which binary does Go make for Windows?")
        assert found.source == "full text"
        assert found.score == 0.67  # binary and go, of binary, go and windows

    async def test_an_unrelated_question_recalls_nothing(self, diary: Diary, clock: ManualClock) -> None:
        await diary.hears("Should I learn Rust or Go for a command-line tool?", "Take Go.")
        clock.advance(3600)
        for question in ("How long do eggs boil?", "Is a cat a good pet?", "I want to know more about it", "and then?"):
            assert diary.ids(question) == []

    async def test_one_word_of_many_is_chance(self, diary: Diary) -> None:
        """The relevance floor: sharing one of several words recalls nothing."""
        await diary.hears("Which language should a beginner learn?")
        assert diary.ids("How large is the language area of a parrot brain?") == []
        assert diary.ids("Which language suits a beginner?") == ["1"]

    async def test_go_is_a_name_too(self, diary: Diary) -> None:
        """Were 'go' no content word, all that is left of "Should I learn Go?" would find every turn about learning."""
        await diary.hears("Should I learn Spanish?")
        assert diary.ids("Should I learn Go?") == []

    @pytest.mark.parametrize(
        ("said", "asked"),
        [
            ("Dario snores since spring.", "What helps against Dario's snoring?"),
            ("Livia swims on Wednesdays.", "When is Livia swimming?"),
            ("Eels find the sea.", "How does an eel find its way?"),
            ("He mended the roof.", "Who was it that mends roofs?"),
        ],
    )
    async def test_another_form_of_a_word_is_found(self, diary: Diary, said: str, asked: str) -> None:
        """Also behind many that have the other word as it stands."""
        found = await diary.hears(said)
        for number in range(40):
            await diary.hears(f"Dario, Livia, the way and roof number {number}?")
        assert found in diary.ids(asked)

    async def test_the_best_come_first_and_the_newer_of_equals(self, diary: Diary) -> None:
        await diary.hears("Rust or Go?")
        await diary.hears("Rust, Go or Zig for compilers?")
        await diary.hears("Go or Rust?")
        assert diary.ids("Rust, Go and Zig") == ["2", "3", "1"]

    async def test_no_more_than_the_limit(self, diary: Diary) -> None:
        for _ in range(5):
            await diary.hears("Rust or Go?")
        assert [len(diary.ids("Rust or Go?", limit=limit)) for limit in (0, 1, 3, 20)] == [0, 1, 3, 5]
        assert [len(diary.ids("What did I ask before?", limit=limit)) for limit in (0, 1, 3, 20)] == [0, 1, 3, 5]

    async def test_rehearsed_turns_are_recalled_only_while_rehearsing(self, diary: Diary) -> None:
        rehearsed = await diary.hears("Should I learn Rust or Go?", engine="rehearsal")
        real = await diary.hears("Is Rust better than Go?")
        for question in ("Rust or Go?", "What did I ask before?"):
            assert diary.ids(question) == [real]
            assert set(diary.ids(question, rehearsed=True)) == {real, rehearsed}

    @pytest.mark.parametrize(
        "question",
        [
            'Rust" OR "tea',
            '" OR 1=1 --',
            "text:rust",
            "rust NEAR(go, 2)",
            "rust AND NOT go",
            "^rust*",
            "(rust",
            "{a b}: rust",
            "-rust + go",
            "'; DROP TABLE search; --",
            "__ ___",
            "²³ ½ ªº",
            "C++ or C#?",
        ],
    )
    async def test_operators_and_quotes_are_only_text(self, diary: Diary, question: str) -> None:
        """Nothing in a question is read as FTS5 or SQL: no error, and no turn that lacks its words."""
        tea = await diary.hears("Green tea or black tea?")
        await diary.hears("Rust and Go")
        assert tea not in diary.ids(question)
        assert diary.ids("green tea") == [tea]

    @given(question=st.text(max_size=200))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_question_is_survived(self, diary: Diary, question: str) -> None:
        assert diary.recalls(question) == []

    async def test_a_question_of_thousands_of_words_is_survived(self, diary: Diary) -> None:
        await diary.hears("Rust or Go?")
        assert diary.ids(" ".join(f"w{number}" for number in range(4000))) == []


class TestWords:
    def test_content_words_are_lower_case_and_once_each(self) -> None:
        assert content_words("What should I say about Rust, RUST and the Größe of x?") == ["rust", "große"]

    @pytest.mark.parametrize(
        ("wanted", "text", "share"),
        [
            ([], "anything", 0.0),
            (["rust"], "Rust!", 1.0),
            (["rust", "go"], "rust alone", 0.0),
            (["rust", "go", "zig"], "Rust and Go", 2 / 3),
            (["language", "learning"], "languages to learn", 1.0),
            (["tool"], "toil", 0.0),
            (["go"], "going", 0.0),
            (["swimming"], "She swims.", 1.0),
            (["bed", "swim"], "swimming", 0.0),
            (["eel"], "eels", 1.0),
            (["keys"], "a key", 1.0),
        ],
    )
    def test_coverage_is_the_share_of_words_found(self, wanted: list[str], text: str, share: float) -> None:
        assert coverage(wanted, text) == pytest.approx(share)

    @pytest.mark.parametrize(
        ("word", "other"),
        [("swim", "swimming"), ("swimming", "swims"), ("snoring", "snores"), ("mends", "mended"), ("boxes", "box")],
    )
    def test_forms_of_a_word(self, word: str, other: str) -> None:
        assert other in forms(word)
        assert forms(word)[0] == word

    @given(st.text(max_size=30))
    def test_a_word_is_one_of_its_forms(self, word: str) -> None:
        assert word in forms(word)
        assert len(forms(word)) <= 40

    @given(st.lists(st.text(max_size=12), max_size=8), st.text(max_size=80))
    def test_coverage_is_a_share(self, wanted: list[str], text: str) -> None:
        assert 0.0 <= coverage(wanted, text) <= 1.0


class TestScriptsWithoutSpaces:
    @pytest.mark.parametrize(
        ("question", "words"),
        [
            ("東京タワーはどこですか", ["東京", "京タ", "タワ", "ワー"]),
            ("猫は何歳？", ["猫", "歳"]),
            ("我的医生是谁？", ["医生"]),
            ("さくらはいつ", ["さく", "くら", "らは", "はい", "いつ"]),
            ("Where is 東京?", ["東京"]),
            ("서울 날씨", ["서울", "날씨"]),
            ("मेरी किताब", ["मेरी", "किताब"]),
            ("Zürich, the café", ["zurich", "cafe"]),
        ],
    )
    def test_what_a_question_is_about(self, question: str, words: list[str]) -> None:
        assert content_words(question) == words

    @pytest.mark.parametrize(
        ("question", "text"),
        [
            ("東京タワーはどこですか", "昨日、東京タワーの高さを調べた"),
            ("我的医生是谁？", "我的医生叫王明"),
            ("ฉันชอบกรุงเทพ", "ผมชอบกรุงเทพมหานคร"),
            ("How high is the 東京タワー?", "東京タワーは高い"),
            ("zurich cafe", "im Café in Zu\u0308rich"),
            ("किताब", "यह मेरी किताब है"),
        ],
    )
    async def test_a_turn_is_recalled_by_it(self, diary: Diary, question: str, text: str) -> None:
        turn = await diary.hears(text)
        await diary.hears("大阪城の話", "Well.")
        assert diary.ids(question) == [turn]

    async def test_what_shares_one_pair_of_many_is_not(self, diary: Diary) -> None:
        await diary.hears("京都の寺")
        assert diary.ids("東京タワーはどこですか") == []

    def test_a_passage_is_cut_though_there_are_no_spaces(self) -> None:
        text = "晴れ。" * 100 + "東京タワーは高い。" + "雨。" * 100
        cut = passage(text, content_words("東京タワー"), 60)
        assert "東京タワー" in cut
        assert 50 <= len(cut) <= 62


class TestFollowingUp:
    @pytest.mark.parametrize(
        "question",
        ["Why that one?", "And how loud is it?", "why?", "What about the other?", "Explain.", "Are they dear?"],
    )
    async def test_a_question_that_only_points_recalls_the_turn_before(self, diary: Diary, question: str) -> None:
        await diary.hears("Which tea is the best?")
        turn = await diary.hears("Which pump fits a rain barrel of 300 litres?")
        (memory,) = diary.recalls(question)
        assert (memory.id, memory.source) == (turn, "the turn before")
        assert memory.score < 1

    async def test_not_if_it_says_enough_or_something_belongs_to_it_or_it_is_long_ago(
        self, diary: Diary, clock: ManualClock
    ) -> None:
        tea = await diary.hears("Which tea is the best?")
        await diary.hears("Which pump fits a rain barrel of 300 litres?")
        assert diary.ids("Is it safe to eat raw eggs from the market?") == []
        assert diary.ids("Which tulips bloom?") == []
        for question in ("Why do cats purr?", "", "?!", "x", "Tulips?"):
            assert diary.ids(question) == []
        assert diary.ids("Is that tea?") == [tea]
        clock.advance(1800)
        assert diary.ids("Why that one?") == []
