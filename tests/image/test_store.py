"""What a store promises: durable commits in order, heads, full-text search, verification, and what errors leave behind."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import (
    CallerError,
)
from a4ps.image import rows, search_index
from a4ps.image.heads import Heads
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Commit, Row, Store
from a4ps.image.writer import Judged
from tests.faults.faulty import Faults


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "home" / "image.a4ps"


@pytest.fixture
def store(image: Path, keys: KeyFolder, clock: ManualClock) -> Iterator[Store]:
    with Store.open(image, keys, clock) as opened:
        yield opened


def put(store: Store, key: str, payload: bytes = b"payload", text: str = "", kind: str = "turn") -> Commit:
    return store.commit([Row(kind, key, payload, text)], author="test", reason="because")


async def put_async(store: Store, key: str, payload: bytes = b"payload") -> Commit:
    return await store.commit_async([Row("turn", key, payload)], author="test", reason="because")


async def hand_over(store: Store, keys: list[str], payloads: dict[str, bytes]) -> list[asyncio.Task[Commit]]:
    """Commits that wait in the writer's queue when this returns: a task hands its rows over at its second step."""
    tasks = [asyncio.create_task(put_async(store, key, payloads.get(key, b"payload"))) for key in keys]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


class HeldClock(ManualClock):
    """A clock whose `now` waits, so that a test can hold the writer in the middle of a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def now(self) -> datetime:
        self.reached.set()
        assert self.go.wait(60)
        return super().now()

    async def hold_a_commit(self, store: Store) -> asyncio.Task[Commit]:
        """A commit in whose middle the writer stands when this returns, until `go` is set."""
        self.go.clear()
        self.reached.clear()
        task = asyncio.create_task(put_async(store, "held"))
        assert await asyncio.to_thread(self.reached.wait, 60)
        return task


def tamper(image: Path, *statements: str) -> None:
    """Change a closed image with plain SQLite."""
    connection = sqlite3.connect(image, isolation_level=None)
    try:
        connection.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


class TestCommitsAndHeads:
    def test_a_head_is_the_newest_row_of_its_kind_and_key(self, store: Store, clock: ManualClock) -> None:
        """The newest row of a (kind, key) is its head, with the generation and the time of its commit."""
        put(store, "a", b"1")
        clock.advance(1.5)
        second = put(store, "a", b"2")
        put(store, "b", b"3")
        put(store, "a", b"other kind", kind="memory")
        head = store.head("turn", "a")
        assert head is not None
        assert (head.payload, head.generation, head.at) == (b"2", 2, clock.now())
        assert (second.generation, second.at, second.author, second.reason) == (2, clock.now(), "test", "because")
        assert len(second.id) == 16
        assert store.head("turn", "c") is None
        assert store.generation == 4

    def test_what_can_be_no_key_names_no_row(self, store: Store) -> None:
        """A command line can hold bytes that are no text."""
        put(store, "1", text="a")
        assert store.head("turn", "\udcff") is None
        assert store.past("turn", "\udcff") == []

    def test_a_commit_is_one_group_of_rows(self, store: Store) -> None:
        """Rows of one commit share its generation; of two rows with one key, the later is the head."""
        commit = store.commit(
            [Row("turn", "a", b"1"), Row("turn", "a", b"2"), Row("turn", "b", b"3")], author="x", reason="y"
        )
        heads = store.newest("turn", limit=9)
        assert [(row.key, row.payload, row.generation) for row in heads] == [("b", b"3", 1), ("a", b"2", 1)]
        assert commit.generation == 1

    @pytest.mark.parametrize("payload", [b"", b"\x00", b"\x01" * 200, bytes(range(256)) * 4000], ids=len)
    def test_every_payload_comes_back_as_it_was(self, store: Store, payload: bytes) -> None:
        """Payload bytes are returned unchanged, whether they shrink or not."""
        put(store, "clé\x00é", payload, "some text " * 50)
        head = store.head("turn", "clé\x00é")
        assert head is not None
        assert head.payload == payload

    def test_newest_gives_heads_by_time(self, store: Store, clock: ManualClock) -> None:
        """`newest` gives heads, last committed first, whose time is in [after, before)."""
        start = clock.now()
        for day in range(5):
            put(store, f"day {day}")
            clock.advance(86_400)
        put(store, "day 0", b"again")
        assert [row.key for row in store.newest("turn", limit=3)] == ["day 0", "day 4", "day 3"]
        yesterday = store.newest("turn", limit=9, after=start + timedelta(days=1), before=start + timedelta(days=3))
        assert [row.key for row in yesterday] == ["day 2", "day 1"]
        assert store.newest("turn", limit=0) == []

    def test_keys_without_names_what_is_open(self, store: Store) -> None:
        """`keys_without` gives keys with no row of the closing kind, the oldest first and each once."""
        for key in ("c", "a", "b", "c"):
            put(store, key, kind="begun")
        put(store, "a", kind="ended")
        assert store.keys_without("begun", "ended") == ["c", "b"]
        assert store.keys_without("nothing", "ended") == []

    def test_everything_is_there_after_reopening(self, image: Path, keys: KeyFolder, clock: ManualClock) -> None:
        """I1: what was acknowledged is there at the next opening, and the chain goes on."""
        for number in range(1, 100):
            with Store.open(image, keys, clock) as store:
                assert store.generation == number - 1
                put(store, str(number), str(number).encode(), f"word{number}")
                if number % 33:
                    continue
                assert store.verify(deep=True).ok
                assert {row.key for row in store.newest("turn", limit=200)} == {str(n) for n in range(1, number + 1)}
                assert [key for key, *_ in store.search("word7", kind="turn", limit=5)] == ["7"]

    def test_threads_commit_at_once(self, store: Store) -> None:
        """I1: commits of many threads get contiguous generations, and each is readable once acknowledged."""
        seen: list[int] = []

        def work(name: int) -> None:
            for number in range(25):
                key = f"{name}.{number}"
                generation = put(store, key, key.encode(), key).generation
                head = store.head("turn", key)
                assert head is not None
                assert (head.payload, head.generation) == (key.encode(), generation)
                seen.append(generation)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(seen) == list(range(1, 201))
        assert store.verify(deep=True).ok

    async def test_waiting_commits_share_one_transaction(
        self, image: Path, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever waits while the writer is busy is made durable by one COMMIT."""
        faults = Faults(monkeypatch)
        clock = HeldClock()
        with Store.open(image, keys, clock) as store:
            faults.statements.clear()
            first = await clock.hold_a_commit(store)
            others = await hand_over(store, [str(number) for number in range(20)], {})
            clock.go.set()
            commits = await asyncio.gather(first, *others)
            assert [commit.generation for commit in commits] == list(range(1, 22))
            assert faults.statements.count("COMMIT") == 2

    def test_growth_is_bounded_by_the_text(self, image: Path, keys: KeyFolder, clock: ManualClock) -> None:
        """200 turns, text in payload and index, let the file grow by at most three times their text."""
        words = Path(rows.__file__).read_text(encoding="utf-8").split()
        with Store.open(image, keys, clock):
            pass
        empty = image.stat().st_size
        size = 0
        with Store.open(image, keys, clock) as store:
            for number in range(200):
                start = number % (len(words) - 300)
                text = " ".join(words[start : start + 300])
                size += len(text.encode())
                put(store, f"turn {number}", text.encode(), text)
        assert image.stat().st_size - empty <= 3 * size

    def test_the_log_stays_bounded_while_readers_idle(self, image: Path, store: Store) -> None:
        """The write-ahead log is written back as it grows; readers that were used before do not hold it up."""
        payload = b"".join(number.to_bytes(4, "big") for number in range(25_000))
        largest = 0
        for number in range(150):
            put(store, str(number), payload)
            store.head("turn", str(number))
            largest = max(largest, image.with_name(image.name + "-wal").stat().st_size)
        assert largest < 3 * 4 * 1024 * 1024


class TestSearch:
    def test_search_ranks_heads_of_a_kind(self, store: Store) -> None:
        """Only heads of the kind are found, best first, with scores above 0."""
        put(store, "1", text="the north wind and the sun")
        put(store, "2", text="wind wind wind")
        put(store, "3", text="nothing of the sort")
        put(store, "4", text="wind", kind="memory")
        put(store, "5", text="")
        found = store.search("wind", kind="turn", limit=9)
        assert [match.key for match in found] == ["2", "1"]
        assert found[0].score > found[1].score > 0
        assert len(store.search("wind OR sun", kind="turn", limit=1)) == 1

    def test_words_weigh_the_more_the_rarer_they_are(self, store: Store) -> None:
        """Of as many words the rarer count, a word in any of its forms, the newest of equals first."""
        for key in ("1", "2", "3"):
            put(store, key, text="wind")
        put(store, "4", text="winds and a storm", kind="memory")
        put(store, "5", b"payload of 5", text="storms")
        found = store.search_words([("wind", "winds"), ("storm", "storms")], kind=("turn", "memory"), limit=4)
        assert [match.key for match in found] == ["4", "5", "3", "2"]
        assert found[1].payload == b"payload of 5"
        assert found[0].score == pytest.approx(found[1].score + found[2].score)
        assert store.search_words([], kind="turn", limit=4) == []

    def test_of_many_words_the_rarest_are_searched_for(self, store: Store) -> None:
        put(store, "1", text="often")
        put(store, "2", text="often")
        others = [f"other{number}" for number in range(search_index.SEARCHED_WORDS)]
        put(store, "3", text=" ".join(others))
        assert [match.key for match in store.search_words(["often", *others], kind="turn", limit=9)] == ["3"]
        assert len(store.search_words(["often", *others[1:]], kind="turn", limit=9)) == 3

    def test_a_superseded_text_is_not_found(self, store: Store) -> None:
        """A row that is no longer the head is not found by its old text."""
        put(store, "1", text="apples")
        put(store, "1", text="pears")
        assert store.search("apples", kind="turn", limit=9) == []
        assert [key for key, *_ in store.search("pears", kind="turn", limit=9)] == ["1"]

    @pytest.mark.parametrize("match", ['"', "a AND", "nocolumn : a", "", "^"])
    def test_a_wrong_expression_is_the_callers(self, store: Store, match: str) -> None:
        """What FTS5 does not take as an expression raises CallerError or finds nothing; the store goes on."""
        put(store, "1", text="a b")
        with suppress(CallerError):
            assert store.search(match, kind="turn", limit=9) == []
        assert [key for key, *_ in store.search("a", kind="turn", limit=9)] == ["1"]

    @pytest.mark.parametrize(
        "damage",
        [
            "UPDATE search_data SET block = zeroblob(100)",
            "DELETE FROM search_data",
            "DELETE FROM search_docsize",
            "UPDATE search_data SET block = randomblob(length(block)) WHERE id > 10",
            "UPDATE search_config SET v = 77",
            "DELETE FROM search_idx",
        ],
    )
    def test_a_damaged_index_is_made_anew(self, image: Path, keys: KeyFolder, clock: ManualClock, damage: str) -> None:
        """The full-text index is rebuildable: damage to it is mended with a warning, and is not a fault."""
        with Store.open(image, keys, clock) as store:
            for number in range(50):
                put(store, str(number), text="common " + " ".join(f"word{number}x{word}" for word in range(200)))
        tamper(image, damage)
        with Store.open(image, keys, clock) as store:
            put(store, "new", text="common newcomer")
            report = store.verify(deep=True)
            assert report.ok
            assert any("index" in warning for warning in report.warnings)
            assert len(store.search("common", kind="turn", limit=99)) == 51
            assert [key for key, *_ in store.search("newcomer", kind="turn", limit=9)] == ["new"]
            assert not any("index" in warning for warning in store.verify(deep=True).warnings)


class TestRefusals:
    @pytest.mark.parametrize(
        "batch",
        [
            [],
            [Row("", "key", b"")],
            [Row("turn", "\ud800", b"")],
            [Row("turn", "ok", b"first"), Row("turn", "a", b"", "\udfff")],
        ],
    )
    def test_what_cannot_be_stored_is_refused_whole(self, store: Store, batch: list[Row]) -> None:
        """A commit that cannot be stored raises CallerError and leaves nothing behind."""
        with pytest.raises(CallerError) as refused:
            store.commit(batch, author="a", reason="b")
        assert refused.value.next_step
        assert store.generation == 0
        assert store.head("turn", "ok") is None
        assert store.read_only == ""

    def test_a_body_over_the_limit_is_refused(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """A row that is too long is refused by us, before SQLite sees it."""
        monkeypatch.setattr(rows, "MAX_BODY_BYTES", 100)
        with pytest.raises(CallerError, match="more than the 100"):
            put(store, "a", b"x" * 101)

    async def test_one_of_a_group_can_fail_alone(
        self, image: Path, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A request that SQLite refuses is rolled back alone; the others of its group get contiguous generations."""
        faults = Faults(monkeypatch)
        faults.row_limit_bytes = 5000
        monkeypatch.setattr(rows, "_WORTH_DEFLATING_BYTES", 1 << 40)
        clock = HeldClock()
        with Store.open(image, keys, clock) as store:
            first = await clock.hold_a_commit(store)
            others = await hand_over(store, ["a", "too long", "b"], {"too long": bytes(6000)})
            clock.go.set()
            outcomes = await asyncio.gather(first, *others, return_exceptions=True)
            assert [outcome.generation for outcome in outcomes if isinstance(outcome, Commit)] == [1, 2, 3]
            assert isinstance(outcomes[2], CallerError)
            assert store.head("turn", "too long") is None
            assert store.read_only == ""
            assert store.verify(deep=True).ok
            # Once for the group, once for the one that is at fault.
            assert faults.statements.count("ROLLBACK TO some") == 2

    def test_a_closed_store_refuses(self, image: Path, keys: KeyFolder, clock: ManualClock) -> None:
        """After `close`, which may be called again, reads and commits raise CallerError."""
        store = Store.open(image, keys, clock)
        put(store, "a")
        store.close()
        store.close()
        with pytest.raises(CallerError, match="closed"):
            put(store, "b")
        with pytest.raises(CallerError, match="closed"):
            store.head("turn", "a")
        assert not image.with_name(image.name + "-wal").exists()

    async def test_close_serves_what_waits(self, image: Path, keys: KeyFolder) -> None:
        """I1: commits that were handed over before `close` are made durable and acknowledged."""
        clock = HeldClock()
        store = Store.open(image, keys, clock)
        first = await clock.hold_a_commit(store)
        others = await hand_over(store, ["a", "b", "c"], {})
        closing = asyncio.create_task(asyncio.to_thread(store.close))
        clock.go.set()
        assert [commit.generation for commit in await asyncio.gather(first, *others)] == [1, 2, 3, 4]
        await closing


class TestAsync:
    async def test_commits_from_a_loop(self, store: Store) -> None:
        """`commit_async` acknowledges like `commit`; many at once keep the generations contiguous."""
        commits = await asyncio.gather(
            *(store.commit_async([Row("turn", str(n), b"x")], author="a", reason="b") for n in range(50))
        )
        assert sorted(commit.generation for commit in commits) == list(range(1, 51))

    async def test_cancelled_before_it_is_handed_over(self, store: Store) -> None:
        """Cancelled before its rows are handed over, a commit is dropped."""
        task = asyncio.create_task(store.commit_async([Row("turn", "a", b"")], author="a", reason="b"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def cancelled_on_the_way() -> None:
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
            await store.commit_async([Row("turn", "b", b"")], author="a", reason="b")

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(cancelled_on_the_way())
        assert store.generation == 0

    async def test_cancelled_after_it_was_handed_over(self, image: Path, keys: KeyFolder) -> None:
        """Cancelled later, a commit is awaited first; then the cancellation goes on. Cancelling again changes nothing."""
        clock = HeldClock()
        with Store.open(image, keys, clock) as store:
            task = await clock.hold_a_commit(store)
            for _ in range(2):
                task.cancel()
                for _ in range(5):
                    await asyncio.sleep(0)
                assert not task.done()
            clock.go.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert store.head("turn", "held") is not None

    async def test_errors_arrive_in_the_loop(self, store: Store) -> None:
        """A refused commit raises in the task that asked for it."""
        with pytest.raises(CallerError):
            await store.commit_async([], author="a", reason="b")


class TestVersions:
    """Keys with their pasts, and commits that are judged when their turn has come."""

    def test_heads_past_and_rows_of_a_commit(self, store: Store) -> None:
        """Reading by generation shows what was newest then."""
        for payload in (b"1", b"2", b"3"):
            put(store, "a", payload)
        put(store, "b", b"4")
        put(store, "c", b"5", kind="other")
        assert store.heads("turn") == {"a": 3, "b": 4}
        assert [row.payload for row in store.past("turn", "a")] == [b"3", b"2", b"1"]
        assert [row.payload for row in store.past("turn", "a", upto=2)] == [b"2", b"1"]
        assert [row.payload for row in store.past("turn", "a", limit=1)] == [b"3"]
        assert store.past("turn", "a", upto=0) == store.past("turn", "a", upto=-5) == []
        assert len(store.past("turn", "a", upto=2**70)) == 3
        assert [row.key for row in store.rows_of(4, "turn")] == ["b"]
        assert store.rows_of(5, "turn") == store.rows_of(99, "turn") == store.rows_of(2**70, "turn") == []

    def test_a_judgement_that_refuses_takes_no_generation(self, store: Store) -> None:
        """What it raises is raised to the one who waits; the next commit follows without a gap."""

        def refuse(heads: Heads, generation: int, at: datetime) -> Judged:
            raise CallerError(f"not {generation}")

        told: list[int] = []

        def accept(heads: Heads, generation: int, at: datetime) -> Judged:
            return Judged((rows.pack(Row("turn", "a", str(generation).encode())),), heads)

        with pytest.raises(CallerError, match="not 1"):
            store.commit(refuse, author="test", reason="", then=lambda commit: told.append(0))
        commit = store.commit(accept, author="test", reason="", then=lambda commit: told.append(commit.generation))
        assert commit.generation == 1
        assert [row.payload for row in store.past("turn", "a")] == [b"1"]
        store.close()
        assert told == [1]

    def test_it_says_how_it_is(self, tmp_path: Path, clock: ManualClock) -> None:
        keys, path = KeyFolder(tmp_path / "keys"), tmp_path / "image.a4ps"
        with Store.open(path, keys, clock) as store:
            store.commit([Row("turn", "a", b"1")], author="test", reason="")
        with Store.open(path, keys, clock) as store:
            for _ in range(2):
                store.commit([Row("turn", "a", b"2")], author="test", reason="")
            statistics = store.statistics()
            assert (statistics.generation, statistics.commits, statistics.read_only) == (3, 2, "")
            assert statistics.file_bytes == path.stat().st_size
            assert statistics.wal_bytes == path.with_name("image.a4ps-wal").stat().st_size > 0
        assert store.statistics().wal_bytes == 0
