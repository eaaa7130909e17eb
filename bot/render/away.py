"""What happened in quiet hours, in one message: short, with names and complete counts.

Pure; called by bot/deliver for alerts that were held. Replies, bounces and reminders stand first, each by
itself; then what was opened and clicked, by mail. Corrected later, it is drawn again without what was wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from bot.chat import Button, Kind, Reply
from bot.render.rings import Ring, sentence
from bot.words import listed, one_line, plural, quoted

MOST_SINGLE = 6  # replies, reminders and the like, by name
MOST_MAILS = 8
MOST_PEOPLE = 4  # of one mail
LONGEST = 300  # characters of a line
LIMIT = 3000  # characters: what the strictest chat takes in one section

_OPENS = frozenset({"open", "hot", "revived"})
_SINGLE = ("reply", "bounce", "reminder", "notice")


def away(rings: Sequence[Ring]) -> Reply:
    """The one message of everything that was held."""
    right = [one for one in rings if not one.fixed]
    single = sorted((one for one in right if one.event in _SINGLE), key=lambda one: _SINGLE.index(one.event))
    lines = [one_line(sentence(one), LONGEST) for one in single[:MOST_SINGLE]]
    if len(single) > MOST_SINGLE:
        lines.append(f"and {len(single) - MOST_SINGLE} more of these")
    lines += _mails(right)
    if len(right) < len(rings):
        lines.append(f"{plural(len(rings) - len(right), 'event')} did not count after all.")
    buttons = [Button("My mails", "list opened")]
    if any(one.event == "reminder" for one in single):
        buttons.insert(0, Button("Reminders", "reminders"))
    return Reply(
        title=f"While you were away: {_summary(right) or 'nothing that counts'}.",
        lines=tuple(_within(lines)),
        buttons=(tuple(buttons),),
        kind=Kind.DIGEST,
        data={"away": True, "alerts": [one.data for one in rings]},
    )


def _summary(rings: Sequence[Ring]) -> str:
    counts = Counter("open" if one.event in _OPENS else one.event for one in rings)
    mails = len({one.code for one in rings if one.code and one.event in {*_OPENS, "click"}})
    said = [plural(counts[name], name) for name in ("open", "click") if counts[name]]
    seen = f"{' and '.join(said)} of {plural(mails, 'mail')}" if said else ""
    nouns = (("reply", "replies"), ("bounce", "bounces"), ("reminder", "reminders"), ("notice", "notices"))
    others = [plural(counts[one], one, many) for one, many in nouns if counts[one]]
    return listed([one for one in (seen, *others) if one], 9)


def _mails(rings: Sequence[Ring]) -> list[str]:
    """A line for each mail, the busiest first."""
    by_mail: defaultdict[tuple[str | None, str], list[Ring]] = defaultdict(list)
    for one in rings:
        if one.event in _OPENS or one.event == "click":
            by_mail[one.code, one.subject].append(one)
    busiest = sorted(by_mail.items(), key=lambda item: -len(item[1]))
    lines = [_mail(subject, code, ones) for (code, subject), ones in busiest[:MOST_MAILS]]
    if len(busiest) > MOST_MAILS:
        rest = sum(len(ones) for _, ones in busiest[MOST_MAILS:])
        more = plural(len(busiest) - MOST_MAILS, "more mail", "more mails")
        lines.append(f"and {more} ({plural(rest, 'event')}): list")
    return lines


def _mail(subject: str, code: str | None, rings: Sequence[Ring]) -> str:
    people: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in rings:
        who = one_line(one.recipient or str(one.facts.get("who") or "someone"), 64)
        people[who]["click" if one.event == "click" else "open"] += 1
        people[who]["hot"] += one.event == "hot" or bool(one.facts.get("hot"))
    busiest = sorted(people.items(), key=lambda item: -item[1].total())
    said = listed([f"{who} {_did(counts)}" for who, counts in busiest], MOST_PEOPLE)
    return one_line(f"{quoted(subject, 60)}{f' ({code})' if code else ''}: {said}", LONGEST)


def _did(counts: Counter[str]) -> str:
    parts = []
    if counts["open"]:
        parts.append("opened" if counts["open"] == 1 else f"opened ×{counts['open']}")
    if counts["click"]:
        parts.append("clicked" if counts["click"] == 1 else f"clicked ×{counts['click']}")
    return " and ".join(parts) + (", hot" if counts["hot"] else "")


def _within(lines: Sequence[str]) -> list[str]:
    kept: list[str] = []
    room = LIMIT
    for line in lines:
        room -= len(line) + 1
        if room < 40:
            return [*kept, "and more: list"]
        kept.append(line)
    return kept
