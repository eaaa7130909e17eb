"""Plain SQL for both engines: lists as one argument, JSON decoded, a transaction's own view of the rows."""

from __future__ import annotations

import asyncpg

from models import Account, Person
from models.database import DatabaseURL, atomically
from models.postgres_bulk import translate
from models.select import as_list, domain_of, from_json, one_of, select
from tests.models.every_table import MOMENT


async def _people(*addresses: str) -> list[Person]:
    account = await Account.create(name="alice", created_at=MOMENT)
    return [
        await Person.create(account=account, address=one, created_at=MOMENT, learned={"mails": number})
        for number, one in enumerate(addresses)
    ]


async def test_rows_are_found_by_lists_of_numbers_and_of_words(database: DatabaseURL):
    ana, bo, cy = await _people("ana@acme.com", "bo@b.org", "ó'c@c.net")
    by_id = f"SELECT address FROM person WHERE {one_of('id')} ORDER BY id"
    assert await select(by_id, (as_list([cy.id, ana.id, 10**15]),)) == [(ana.address,), (cy.address,)]
    by_address = f"SELECT id FROM person WHERE {one_of('address', 'text')} AND id > ?"
    assert await select(by_address, (as_list({bo.address, cy.address}), bo.id)) == [(cy.id,)]
    assert await select(by_id, (as_list([]),)) == []


async def test_json_comes_as_what_it_holds(database: DatabaseURL):
    await _people("ana@acme.com", "bo@b.org")
    rows = await select("SELECT learned FROM person ORDER BY id")
    assert [from_json(row[0]) for row in rows] == [{"mails": 0}, {"mails": 1}]
    assert from_json(None) is None


async def test_a_transaction_reads_what_it_wrote(database: DatabaseURL):
    async def work() -> list[tuple[str]]:
        await _people("ana@acme.com")
        return await select("SELECT address FROM person")

    assert await atomically(work) == [("ana@acme.com",)]


async def test_people_of_a_domain_are_found_by_an_index(database: DatabaseURL):
    ana, _ = await _people("ana@acme.com", "bo@b.org")
    sql = f"SELECT id FROM person WHERE account_id = ? AND {domain_of('address')} = ? AND learned IS NOT NULL"
    asked = (ana.account_id, "acme.com")
    assert await select(sql, asked) == [(ana.id,)]
    if database.is_sqlite:
        plan = str(await select(f"EXPLAIN QUERY PLAN {sql}", asked))
    else:
        connection = await asyncpg.connect(**database.credentials)
        await connection.execute("SET enable_seqscan = off")  # of two rows it would read both
        plan = str(await connection.fetch(f"EXPLAIN {translate(sql)}", *asked))
        await connection.close()
    assert "idx_person_domain" in plan
