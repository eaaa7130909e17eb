"""A hit on the judge's table, with its mail, recipient and token: the shapes that all judging works on.

Read by tracker/hits/reading.py, judged by judge.py and rescore.py beside it, written by writing.py. Also how
a list of ids is passed to either engine. No I/O.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.database import is_sqlite
from tracker.hits.counting import Tally
from tracker.hits.evidence import Judgement, MailFacts
from tracker.hits.history import Entry

Rings = tuple[str | None, str | None]  # policies for opens and for clicks


@dataclass(slots=True, eq=False)
class Mail:
    id: int
    revision: int
    account_id: int
    origin: str
    subject: str
    facts: MailFacts
    tally: Tally
    rings: Rings  # the mail's own policies for opens and clicks
    account_rings: Rings
    sent: int  # what "3 minutes after sending" is counted from
    taught: bool = False  # whether its account said of any hit what it was


@dataclass(slots=True, eq=False)
class Person:
    """A recipient of one mail."""

    id: int
    mail: Mail
    address: str
    tally: Tally
    loaded_at: int | None
    rings: Rings  # set for them across mails
    facts: MailFacts  # the mail's, with the hand-over of this copy


@dataclass(slots=True, eq=False)
class Token:
    id: int
    label: str
    hits: int
    counted: int
    # What this batch adds to the two.
    more_hits: int = 0
    more_counted: int = 0


@dataclass(slots=True, eq=False)
class Case:
    """One hit on the judge's table. `entry` holds its verdict, which history may change."""

    id: int
    mail: Mail
    person: Person | None
    token: Token
    entry: Entry
    judgement: Judgement
    stored: Stored | None  # what was written before; None while unjudged
    ordinal: int | None = None
    nth_of_link: int | None = None

    @property
    def counts(self) -> bool:
        return self.entry.verdict.counts

    @property
    def group(self) -> Tally:
        """Whose counters number it: its recipient's, or the mail's where the token is shared."""
        return self.mail.tally if self.person is None else self.person.tally


class Stored(NamedTuple):
    """The verdict as it stands in the database."""

    verdict: str | None
    reason: str | None
    details: Any  # JSON text, or what it says
    rules: str | None
    client: str | None
    ordinal: int | None
    confirmed_by: str | None
    folded_into: str | None
    judged_at: int


@dataclass(slots=True)
class Docket:
    """Cases in the order of judging, and the rows they share."""

    cases: list[Case] = field(default_factory=list)
    mails: dict[int, Mail] = field(default_factory=dict)
    persons: dict[int, Person] = field(default_factory=dict)
    tokens: dict[int, Token] = field(default_factory=dict)


def among(column: str) -> str:
    """`column` is one of a list that is passed as one argument; see `listed`."""
    if is_sqlite():
        return f"{column} IN (SELECT value FROM json_each(?))"  # noqa: S608
    return f"{column} = ANY(?::bigint[])"


def listed(ids: Sequence[int]) -> Any:
    """The argument for `among`."""
    return json.dumps(ids) if is_sqlite() else list(ids)
