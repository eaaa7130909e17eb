"""What a sitting of the judge writes, as statements of one transaction for either engine.

The mails come first and in order: their `revision` is raised from the value that was read, and where somebody
else raised it meanwhile the statement sets a NOT NULL column to null, which undoes the whole transaction. So
two who judge one mail at once never both succeed, and every number here can be written as it was worked out.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Sequence
from typing import Any

from models.writer import Statement
from tracker.hits.cases import Case, Docket, Mail
from tracker.hits.classify import RULES_VERSION
from tracker.hits.counting import COLUMNS
from tracker.hits.past import Past
from tracker.hits.ringing import NEWS
from tracker.hits.sitting import Sitting
from tracker.hits.verdicts import Verdict

_TALLY = ", ".join(f"{name} = ?" for name in COLUMNS)
_MAIL = (
    f"UPDATE message SET revision = CASE WHEN revision = ? THEN revision + 1 END, {_TALLY}, "  # noqa: S608
    "last_event_at = CASE WHEN replied_at > COALESCE(CAST(? AS BIGINT), 0) THEN replied_at ELSE ? END "
    "WHERE id = ?"
)
_PERSON = f"UPDATE recipient SET {_TALLY}, loaded_at = ? WHERE id = ?"  # noqa: S608
_LINK = "UPDATE link SET hits = hits + ?, counted = counted + ? WHERE id = ?"
_VERDICT = (
    "UPDATE hit SET verdict = ?, reason = ?, details = ?, rules = ?, client = ?, ordinal = ?, "
    "folded_into = ?, judged_at = ? WHERE id = ? AND judged_at IS NULL"
)
_AGAIN = (
    "UPDATE hit SET verdict = ?, reason = ?, details = ?, rules = ?, client = ?, ordinal = ?, "
    "folded_into = ?, confirmed_by = CASE WHEN kind = 'open' THEN confirmed_by END "
    "WHERE id = ? AND judged_at IS NOT NULL"
)
_OVERTURN = (
    "UPDATE hit SET verdict = ?, reason = ?, details = NULL, rules = ?, ordinal = NULL, folded_into = NULL "
    "WHERE id = ?"
)
_ORDINAL = "UPDATE hit SET ordinal = ? WHERE id = ?"
# COALESCE keeps SQLite from going through all waiting alerts by the index on state.
_ALERT_ORDINAL = (
    "UPDATE alert SET ordinal = ? WHERE event_key = ? AND event = 'open' AND COALESCE(state, '') = 'waiting'"
)
# What rang lately is drawn again, silently; a correction that waits says more.
_RUNG_ORDINAL = (
    "UPDATE alert SET ordinal = ?, fix_text = COALESCE(fix_text, '') WHERE event_key = ? "
    "AND event = 'open' AND COALESCE(state, '') IN ('sent', 'folded') AND ordinal <> ? AND at > ?"
)
# Hits have an index by mail, none by recipient.
_OF_RECIPIENT = "message_id = (SELECT message_id FROM recipient WHERE id = ?) AND recipient_id = ?"
# Hits at or before the last click that was counted are confirmed by it, or came too late for it.
_CONFIRM = (
    f"UPDATE hit SET confirmed_by = ? WHERE {_OF_RECIPIENT} AND kind = 'open' AND at > ? AND at <= ? "  # noqa: S608
    "AND verdict IN ('privacy', 'unknown') AND confirmed_by IS NULL"
)
# The first click judged that came after the open; what a reply confirmed stays.
_BY_CLICK = (
    "UPDATE hit SET confirmed_by = CASE WHEN verdict IN ('privacy', 'unknown') THEN "
    "(SELECT c.uid FROM hit c WHERE c.message_id = hit.message_id "
    "AND c.recipient_id = hit.recipient_id AND c.kind = 'click' AND c.ordinal IS NOT NULL "
    "AND c.at >= hit.at ORDER BY c.judged_at, c.id LIMIT 1) END "
    "WHERE {which} AND kind = 'open' AND (verdict IN ('privacy', 'unknown') "
    "OR confirmed_by IS NOT NULL) AND (confirmed_by IS NULL OR confirmed_by NOT LIKE 'reply:%')"
)
# A reply of the recipient confirms like a click; of these the first one that was noted.
_BY_REPLY = (
    "UPDATE hit SET confirmed_by = (SELECT 'reply:' || CAST(MIN(c.id) AS TEXT) FROM captured c "
    "WHERE c.recipient_id = ? AND c.state = 'reply') "
    "WHERE {which} AND kind = 'open' AND verdict IN ('privacy', 'unknown') "
    "AND confirmed_by IS NULL AND at <= (SELECT replied_at FROM recipient WHERE id = ?)"
)
_CONFIRM_LATE = _BY_CLICK.format(which="id = ?")
_CONFIRM_LATE_BY_REPLY = _BY_REPLY.format(which="id = ?")
_CONFIRM_AGAIN = _BY_CLICK.format(which=f"{_OF_RECIPIENT} AND confirmed_by = ?")
_CONFIRM_BY_REPLY = _BY_REPLY.format(which=_OF_RECIPIENT)
_CONFIRMED_BY = "UPDATE hit SET confirmed_by = ? WHERE id = ?"
_DIRTY = "UPDATE card SET dirty_at = ? WHERE message_id = ? AND dirty_at IS NULL"
_CARD = (
    "INSERT INTO card (message_id, destination_id, dirty_at, created_at) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (message_id, destination_id) DO NOTHING"
)
# An alert that was withdrawn before it rang, and whose hit counts after all, waits again.
_ALERT = (
    "INSERT INTO alert (account_id, destination_id, message_id, recipient_id, link_id, event_key, event, "
    "ordinal, at, facts, due_at, state, attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', 0) "
    "ON CONFLICT (event_key, destination_id, event) DO UPDATE SET state = 'waiting', "
    "ordinal = excluded.ordinal, facts = excluded.facts, due_at = excluded.due_at "
    "WHERE alert.state = 'withdrawn'"
)
_WITHDRAW = "UPDATE alert SET state = 'withdrawn' WHERE event_key = ? AND COALESCE(state, '') = 'waiting'"
_STILL_RIGHT = "UPDATE alert SET fix_text = NULL WHERE event_key = ? AND state IN ('sent', 'folded')"
_CORRECT = "UPDATE alert SET fix_text = ? WHERE event_key = ? AND state IN ('sent', 'folded')"
# The sums that this mail is in (tracker/insights/rollups.py) are older than its rows now.
_STALE = "INSERT INTO stale (account_id, message_id) VALUES (?, ?)"
# Each of their rows changes rows of its own.
_BULK = frozenset(
    {
        _MAIL,
        _STALE,
        _PERSON,
        _LINK,
        _VERDICT,
        _AGAIN,
        _OVERTURN,
        _ORDINAL,
        _ALERT_ORDINAL,
        _RUNG_ORDINAL,
        _DIRTY,
        _CARD,
        _ALERT,
    }
)

Rows = list[Sequence[Any]]
_UNSURE = (Verdict.PRIVACY, Verdict.UNKNOWN)


def write_mails(mails: Iterable[Mail]) -> list[Statement]:
    """The guard and the mails' counters. First in every transaction of the judge."""
    ordered = sorted(mails, key=lambda mail: mail.id)
    rows: Rows = [
        (mail.revision, *mail.tally.row, mail.tally.last, mail.tally.last, mail.id) for mail in ordered
    ]
    return _statements((_MAIL, rows), (_STALE, [(mail.account_id, mail.id) for mail in ordered]))


def write_counters(sitting: Sitting) -> list[Statement]:
    """Counters of recipients and tokens, and ordinals of hits that moved."""
    docket = sitting.docket
    persons: Rows = [(*one.tally.row, one.loaded_at, one.id) for one in docket.persons.values()]
    more = {token.id: [token.more_hits, token.more_counted] for token in docket.tokens.values()}
    for one in sitting.were_counted:
        more.setdefault(one.entry.link_id, [0, 0])[1] -= 1
    tokens: Rows = [(hits, counted, link_id) for link_id, (hits, counted) in sorted(more.items())]
    return _statements(
        (_PERSON, sorted(persons, key=lambda row: row[-1])),
        (_LINK, [row for row in tokens if row[0] or row[1]]),
        (_ORDINAL, [(ordinal, number) for ordinal, number, _ in sitting.renumbered]),
    )


def write_verdicts(cases: Iterable[Case], now: int) -> list[Statement]:
    """The verdicts of hits that had none."""
    return _statements((_VERDICT, [(*_verdict(case), now, case.id) for case in cases]))


def rewrite_verdicts(cases: Iterable[Case]) -> list[Statement]:
    """The verdicts of hits that were judged before, where they differ now."""
    return _statements((_AGAIN, [(*_verdict(case), case.id) for case in cases]))


def overturn(ones: Iterable[Past]) -> list[Statement]:
    """Stored hits that history changed."""
    return _statements(
        (_OVERTURN, [(str(one.entry.verdict), one.entry.reason, RULES_VERSION, one.id) for one in ones])
    )


def _verdict(case: Case) -> tuple[Any, ...]:
    entry, judgement = case.entry, case.judgement
    kept = entry.reason == judgement.reason
    details = json.dumps(dict(judgement.details)) if kept and judgement.details else None
    return (
        str(entry.verdict), entry.reason, details, RULES_VERSION, judgement.client, case.ordinal,
        entry.folded_into,
    )  # fmt: skip


def confirm(sitting: Sitting) -> list[Statement]:
    """A person's click confirms what Apple loaded, or what was unknown, of the same recipient before it.

    Each click looks back to the one before it only: a mail may have a hundred thousand opens.
    """
    simple: Rows = []
    late: Rows = []
    for case in sitting.docket.cases:
        person, entry = case.person, case.entry
        if person is None:
            continue
        before = sitting.clicked.get(person.id)
        if case.counts and entry.kind == "click" and person.tally.opens.total > person.tally.opens.count:
            simple.append((entry.uid, person.id, person.id, -1 if before is None else before, entry.at))
        elif entry.kind == "open" and entry.verdict in _UNSURE:
            replied = person.facts.replied_at
            if (before is not None and before >= entry.at) or (replied is not None and replied >= entry.at):
                late.append((person.id, case.id, person.id))
    lost: Rows = [
        (one.entry.copy, one.entry.copy, one.entry.uid)
        for one in sitting.overturned
        if one.entry.kind == "click" and one.entry.copy is not None
    ]
    return _statements(
        (_CONFIRM, simple),
        (_CONFIRM_AGAIN, lost),
        (_CONFIRM_LATE, [row[1:2] for row in late]),
        (_CONFIRM_LATE_BY_REPLY, late),
        (_CONFIRM_BY_REPLY, [(number,) * 4 for number in sorted({row[0] for row in lost})]),
    )


def confirm_anew(docket: Docket, persons: Container[int]) -> list[Statement]:
    """For all opens of these recipients which click, or else which reply, confirms them now."""
    rows: Rows = []
    for number in docket.persons:
        if number in persons:
            rows += _confirmations([case for case in docket.cases if case.entry.copy == number])
    replied = [one.id for one in docket.persons.values() if one.id in persons]
    return _statements((_CONFIRMED_BY, rows), (_CONFIRM_BY_REPLY, [(number,) * 4 for number in replied]))


def _confirmations(cases: Sequence[Case]) -> Rows:
    """(uid of a click, hit id) for each open of one recipient, in the order of judging, that is told wrongly.

    As _BY_CLICK says it, but going through the hits once.
    """
    clicks = [
        (case.entry.at, order, case.entry.uid)
        for order, case in enumerate(cases)
        if case.entry.kind == "click" and case.counts
    ]
    clicks.sort()
    rows: Rows = []
    first: tuple[int, str] | None = None  # of the clicks after the open, the one that was judged first
    for case in sorted((one for one in cases if one.entry.kind == "open"), key=lambda one: -one.entry.at):
        while clicks and clicks[-1][0] >= case.entry.at:
            found = clicks.pop()[1:]
            first = found if first is None else min(first, found)
        stored = None if case.stored is None else case.stored.confirmed_by
        wanted = first[1] if first is not None and case.entry.verdict in _UNSURE else None
        if wanted != stored and not (stored or "").startswith("reply:"):
            rows.append((wanted, case.id))
    return rows


def touch_cards(mails: Iterable[int], now: int) -> list[Statement]:
    """The cards of these mails show less than is known now."""
    return _statements((_DIRTY, [(now, number) for number in sorted(set(mails))]))


def add_cards(pairs: Iterable[tuple[int, int]], now: int) -> list[Statement]:
    """Cards for (mail, destination) where there is none yet."""
    return _statements((_CARD, [(mail, place, now, now) for mail, place in sorted(set(pairs))]))


def add_alerts(rows: Rows) -> list[Statement]:
    """Rows of the outbox, in the order of tracker/hits/outbox.py."""
    return _statements((_ALERT, rows))


def take_back(corrections: Iterable[tuple[str, str]], silent: Container[str] = ()) -> list[Statement]:
    """(uid, text): alerts of hits that count no more. What waits is withdrawn, what rang is corrected.

    What rang of the `silent` ones stays as it is.
    """
    fixes = list(corrections)
    return _statements(
        (_WITHDRAW, [(uid,) for uid, _ in fixes]),
        (_CORRECT, [(text, uid) for uid, text in fixes if uid not in silent]),
    )


def uphold(uids: Iterable[str]) -> list[Statement]:
    """Hits that count after all: a correction that did not go out yet is dropped."""
    return _statements((_STILL_RIGHT, [(uid,) for uid in uids]))


def renumber_alerts(numbers: Sequence[tuple[int, str]], now: int) -> list[Statement]:
    """(ordinal, uid) of opens: what waits, and what rang lately, says the number that its hit has now."""
    rung: Rows = [(ordinal, uid, ordinal, now - NEWS) for ordinal, uid in numbers]
    return _statements((_ALERT_ORDINAL, list(numbers)), (_RUNG_ORDINAL, rung))


def _statements(*parts: tuple[str, Rows]) -> list[Statement]:
    return [Statement(sql, rows, sql in _BULK) for sql, rows in parts if rows]
