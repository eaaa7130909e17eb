"""One file holds everything, and either engine takes it back."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tortoise.backends.base.executor import EXECUTOR_CACHE

from models import Account, Hit, InstanceState, Message, Pack
from models.backup import BackupError, backup, restore
from models.columns import to_micros
from models.database import DatabaseURL, atomically, open_database, parse_database_url
from models.migrate import pending
from models.rows import clean_json
from tests.models.every_table import MOMENT, contents, counts, fill_every_table


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest) -> DatabaseURL:
    """A second database, of each engine, to restore into."""
    url = parse_database_url(request.getfixturevalue(f"{request.param}_url"))
    if url.path is None:
        return url
    return DatabaseURL("sqlite", path=url.path.with_name("restored") / "mailbell.db")


async def _fill(url: DatabaseURL) -> dict:
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        await fill_every_table()
        await Pack.all().delete()  # of these rows are made: see test_packs.py
        return await contents()


async def _read(url: DatabaseURL) -> dict:
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        return await contents()


@pytest.fixture
async def full(sqlite_url: str, tmp_path: Path) -> tuple[Path, dict]:
    """A backup with rows in every table, and the rows."""
    rows = await _fill(parse_database_url(sqlite_url))
    file = tmp_path / "full.backup"
    await backup(parse_database_url(sqlite_url), file)
    return file, rows


async def test_every_row_comes_back_on_sqlite(full, tmp_path: Path):
    file, rows = full
    url = DatabaseURL("sqlite", path=tmp_path / "new" / "mailbell.db")
    restored = await restore(url, file)
    assert await _read(url) == rows
    assert sum(restored.values()) == sum(len(table) for table in rows.values())
    assert await pending(url) == []


async def test_every_row_moves_from_sqlite_to_postgres_and_back(full, postgres_url: str, tmp_path: Path):
    file, rows = full
    postgres = parse_database_url(postgres_url)
    await restore(postgres, file)
    assert await _read(postgres) == rows
    again = tmp_path / "again.backup"
    await backup(postgres, again)
    back = DatabaseURL("sqlite", path=tmp_path / "back.db")
    await restore(back, again)
    assert await _read(back) == rows


async def test_new_rows_get_new_ids_after_a_restore(sqlite_url: str, empty_url: DatabaseURL, tmp_path: Path):
    source = parse_database_url(sqlite_url)
    await _fill(source)
    EXECUTOR_CACHE.clear()
    async with open_database(source):
        newest = await Account.create(name="dora", created_at=MOMENT)
        await newest.delete()  # its id must not come again, though no row has it
    await backup(source, tmp_path / "b")
    await restore(empty_url, tmp_path / "b")
    EXECUTOR_CACHE.clear()
    async with open_database(empty_url):
        assert (await Account.create(name="erin", created_at=MOMENT)).id > newest.id


async def test_a_database_with_rows_is_not_overwritten(full, empty_url: DatabaseURL, tmp_path: Path):
    file, _ = full
    await restore(empty_url, file)
    before = await counts(empty_url)
    with pytest.raises(BackupError, match=r"holds \d+ rows already.*--force"):
        await restore(empty_url, file)
    assert await counts(empty_url) == before


async def test_force_replaces_every_row(full, empty_url: DatabaseURL):
    file, rows = full
    await restore(empty_url, file)
    EXECUTOR_CACHE.clear()
    async with open_database(empty_url):
        await InstanceState.create(key="mine", value="gone after force")
        await Message.all().delete()
    await restore(empty_url, file, force=True)
    assert await _read(empty_url) == rows


async def test_a_backup_is_private_and_never_overwrites(full, sqlite_url: str, tmp_path: Path):
    file, _ = full
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    with pytest.raises(BackupError, match="exists already"):
        await backup(parse_database_url(sqlite_url), file)
    assert file.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir() if "part" in one.name] == []


async def test_a_file_that_appears_meanwhile_is_not_overwritten(full, sqlite_url: str, tmp_path: Path):
    target = tmp_path / "meanwhile"

    def somebody_else_writes(*_: object) -> None:
        target.write_text("theirs")

    with pytest.raises(BackupError, match="exists already"):
        await backup(parse_database_url(sqlite_url), target, somebody_else_writes)
    assert target.read_text() == "theirs"


async def test_nothing_is_left_of_a_backup_that_fails(database_url: str, tmp_path: Path):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(BackupError, match="No space left"):
        await backup(parse_database_url(database_url), tmp_path / "new" / "b", fail)
    assert list((tmp_path / "new").iterdir()) == []


async def test_nothing_changes_when_a_restore_fails_half_way(full, empty_url: DatabaseURL):
    file, rows = full
    await restore(empty_url, file)
    seen = []

    def fail(table: str, *_: object) -> None:
        seen.append(table)
        if len(seen) == 5:
            raise OSError(5, "Input/output error")

    with pytest.raises(BackupError, match="Input/output"):
        await restore(empty_url, file, force=True, progress=fail)
    assert await _read(empty_url) == rows


async def test_what_is_no_backup_is_refused_in_words(tmp_path: Path, empty_url: DatabaseURL):
    text = tmp_path / "letter.txt"
    text.write_text("Dear Ana,\n" * 500)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as file:
        file.execute("CREATE TABLE t (a)")
    before = empty_url.path.exists() if empty_url.path else None
    for wrong, words in (
        (text, "not a database"),
        (other, "no backup of mailbell"),
        (tmp_path / "missing", "unable to open"),
        (tmp_path, "unable to open|I/O error"),
    ):
        with pytest.raises(BackupError, match=words):
            await restore(empty_url, wrong)
    assert (empty_url.path.exists() if empty_url.path else None) == before


async def test_a_damaged_backup_is_refused(full, tmp_path: Path):
    file, _ = full
    whole = file.read_bytes()
    damaged = tmp_path / "damaged"
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupError, match=r"damaged|malformed"):
        await restore(DatabaseURL("sqlite", path=tmp_path / "t.db"), damaged)


async def test_a_backup_of_a_newer_mailbell_is_refused(full, empty_url: DatabaseURL):
    file, _ = full
    with closing(sqlite3.connect(file)) as archive, archive:
        archive.execute("UPDATE tortoise_migrations SET name = '9999_future' WHERE name = '0001_initial'")
    with pytest.raises(BackupError, match="newer mailbell"):
        await restore(empty_url, file)


async def test_there_is_nothing_to_save_before_the_first_start(tmp_path: Path):
    with pytest.raises(BackupError, match="not set up yet"):
        await backup(DatabaseURL("sqlite", path=tmp_path / "none.db"), tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


async def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path: Path):
    url = parse_database_url("postgres://mailbell:s3cret@127.0.0.1:9/mailbell")
    with pytest.raises(BackupError) as told:
        await backup(url, tmp_path / "b")
    assert "s3cret" not in str(told.value) + repr(url)


async def test_a_backup_is_one_moment_of_a_database_in_use(database, tmp_path: Path):
    """Pairs written together are saved together, however many come while the backup runs."""
    stop = asyncio.Event()
    written = 0

    async def pair() -> None:
        await InstanceState.create(key=f"left {written}", value="x" * 500)
        await Account.create(name=f"right {written}", created_at=MOMENT)

    async def keep_writing() -> None:
        nonlocal written
        while not stop.is_set():
            await atomically(pair)
            written += 1

    writing = asyncio.create_task(keep_writing())
    while written < 50:
        await asyncio.sleep(0)
    for number in range(3):
        await backup(database, tmp_path / f"b{number}")
    stop.set()
    await writing
    for number in range(3):
        with closing(sqlite3.connect(tmp_path / f"b{number}")) as saved:
            (left,) = saved.execute("SELECT count(*) FROM instance_state").fetchone()
            (right,) = saved.execute("SELECT count(*) FROM account").fetchone()
        assert left == right >= 50


async def test_text_that_only_sqlite_takes_is_cleaned_on_the_way_to_postgres(
    sqlite_url: str, postgres_url: str, tmp_path: Path
):
    path = parse_database_url(sqlite_url).path
    assert path is not None
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(
            "INSERT INTO account (name, created_at, preferences) VALUES (?, 0, ?)",
            ("nul\x00 and " + "long " * 60, json.dumps({"a\x00b": ["\ud800", "🔔\x00"]})),
        )
    await backup(DatabaseURL("sqlite", path=path), tmp_path / "b")
    postgres = parse_database_url(postgres_url)
    await restore(postgres, tmp_path / "b")
    EXECUTOR_CACHE.clear()
    async with open_database(postgres):
        account = await Account.get()
    assert account.name == ("nul and " + "long " * 60)[:120]
    assert account.preferences == {"ab": ["?", "🔔"]}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_clean_json_changes_nothing_that_postgres_takes(value):
    text = json.dumps(value)
    takes_it = not any(bad in text for bad in ("\\u0000", "\\ud", "\\uD"))
    cleaned = json.loads(clean_json(text))
    assert not takes_it or cleaned == value
    json.dumps(cleaned, ensure_ascii=False).encode()  # no half of a surrogate pair


@pytest.mark.long
async def test_a_hundred_thousand_hits_are_saved_and_restored_in_flat_memory(
    sqlite_url: str, postgres_url: str, tmp_path: Path
):
    import resource

    source, postgres = parse_database_url(sqlite_url), parse_database_url(postgres_url)
    await _fill(source)
    assert source.path is not None
    with closing(sqlite3.connect(source.path)) as file, file:
        link, message = file.execute("SELECT id, message_id FROM link").fetchone()
        file.executemany(
            "INSERT INTO hit (uid, at, kind, link_id, message_id, method) VALUES (?, ?, 'open', ?, ?, 'GET')",
            ((f"{number:032x}", to_micros(MOMENT) + number, link, message) for number in range(100_000)),
        )
    await backup(source, tmp_path / "a")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await restore(postgres, tmp_path / "a")
    await backup(postgres, tmp_path / "b")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    EXECUTOR_CACHE.clear()
    async with open_database(postgres):
        assert await Hit.all().count() == 100_004
    with closing(sqlite3.connect(tmp_path / "b")) as saved:
        assert saved.execute("SELECT count(*) FROM hit").fetchone() == (100_004,)
    assert grown < 40_000, f"grew by {grown} kB"
