import pytest

from models import Card, Link, Message, Recipient
from tests import builders
from tests.tracker.page_services import services
from tracker.mail.import_list import ImportedRow, import_list
from tracker.mail.opt_out import opt_out


async def imported(running, account, path, content: str | bytes, **more) -> list[ImportedRow]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [row async for row in import_list(running, account, path, **more)]


async def test_each_row_becomes_a_tracked_mail_in_the_order_of_the_file(database, clock, tmp_path):
    alice = await builders.account("alice", clock())
    await builders.destination(alice, "slack", "U1")
    lines = [f"p{n}@acme.com,Mail {n},https://acme.com/{n} https://acme.com/terms#notrack" for n in range(23)]
    rows = await imported(
        services(clock), alice, tmp_path / "list.csv", "\n".join(["to,subject,urls", *lines]), batch=5
    )
    assert [row.line for row in rows] == list(range(2, 25))
    assert all(row.error is None for row in rows)
    assert await Message.filter(account=alice, origin="list").count() == 23
    assert await Card.all().count() == 0
    for number, row in enumerate(rows):
        message = await Message.get(code=row.fields["message"])
        assert message.subject == f"Mail {number}"
        assert (await Recipient.get(message=message)).address == f"p{number}@acme.com"
        (link,) = row.fields["links"]
        assert link["url"] == f"https://acme.com/{number}"
        token = (await Link.get(message=message, kind="click")).token
        assert link["tracked_url"] == f"https://track.example/c/{token}"
        assert set(row.fields) == {"message", "pixel_url", "copy_url", "capture_address", "links"}


async def test_a_bad_row_is_named_by_its_line_and_the_others_go_on(sqlite_database, clock, tmp_path):
    alice = await builders.account("alice", clock())
    content = (
        "\ufeffSubject;To;Urls\r\n"  # line 1
        '"two\r\nlines";Ana <ana@acme.com>;https://acme.com/a\r\n'  # 2 and 3
        "\r\n"  # 4
        "no address;;\r\n"  # 5
        "broken;ana@acme;\r\n"  # 6
        "bad link;ana@acme.com;ftp://acme.com\r\n"  # 7
        "=1+1 https://not.a.link bob@not.a.recipient;ana@acme.com, bob@acme.com\r\n"  # 8
    )
    rows = await imported(services(clock), alice, tmp_path / "list.csv", content)
    assert [(row.line, row.error is None) for row in rows] == [
        (2, True),
        (5, False),
        (6, False),
        (7, False),
        (8, True),
    ]
    assert "column to is empty" in rows[1].error
    assert "ana@acme is no address" in rows[2].error
    assert "“ftp://acme.com” cannot be tracked" in rows[3].error
    assert rows[1].fields == {}
    assert rows[0].tracked.message.subject == "two lines"
    assert rows[4].tracked.message.subject == "=1+1 https://not.a.link bob@not.a.recipient"
    assert await Recipient.filter(message=rows[4].tracked.message).count() == 2
    assert rows[4].tracked.links == ()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "columns to, subject, urls"),
        (b"a@b.com,hi\n", "columns to, subject, urls"),
        (b"to,subject\nana@acme.com,Gr\xfc\xdfe\n", "UTF-8"),
        (b"to,subject\nana@acme.com," + b"x" * 400_000 + b"\n", "no CSV"),
        (b"to\n" + b" ".join(b"p%d@a.com" % n for n in range(60)), "50"),
    ],
)
async def test_a_file_that_is_no_such_list_says_what_is_wrong(
    sqlite_database, clock, tmp_path, content, error
):
    alice = await builders.account("alice", clock())
    (row,) = await imported(services(clock), alice, tmp_path / "list.csv", content)
    assert error in row.error
    assert await Message.all().count() == 0


async def test_a_missing_file_is_one_line(sqlite_database, clock, tmp_path):
    alice = await builders.account("alice", clock())
    (row,) = [row async for row in import_list(services(clock), alice, tmp_path / "none.csv")]
    assert "cannot be read" in row.error


async def test_the_same_person_on_many_rows_is_one_and_an_opt_out_holds(database, clock, tmp_path):
    alice = await builders.account("alice", clock())
    running = services(clock)
    await opt_out(running, "ana@acme.com")
    content = "to,subject\n" + "ana@acme.com,x\nbob@acme.com,y\n" * 10
    rows = await imported(running, alice, tmp_path / "list.csv", content, batch=7)
    assert len(rows) == 20
    assert await Link.filter(recording=False).count() == 10
    assert await Recipient.filter(opted_out_at__isnull=False).count() == 10
