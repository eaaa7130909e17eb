"""`settings`: what rings, what is recorded, the time zone, and where it rings; for the account or a domain.

What is set for one mail or person is in settings_own.py, quiet hours and summaries in settings_peace.py.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Awaitable, Callable
from dataclasses import replace

from bot.chat import Button, Reply
from bot.commands import settings_peace as peace
from bot.commands.arguments import MODES, POLICIES, read_choice
from bot.commands.registry import Command, CommandError, Request
from bot.commands.settings_here import change_here, tell_here, tell_purpose
from bot.commands.settings_own import change_mail, change_person
from bot.commands.taught import answer_taught
from bot.words import moment, one_line, plural, zone_of
from models import Account, Destination
from models.database import atomically
from tracker.insights.lists import find_message
from tracker.mail.draft import read_address

_RINGS = {"opens": "ring_opens", "clicks": "ring_clicks"}
_DOMAIN = re.compile(r"@?((?:[\w-]{1,63}\.)+[^\W\d_][\w-]{1,62})")
MOST_DOMAINS = 200


async def answer_settings(request: Request) -> Reply:
    """`settings` and `settings NAME` show, `settings NAME VALUE` changes; a code or address narrows it."""
    word, _, rest = request.arguments.partition(" ")
    if not word:
        return await _show(request)
    change = _CHANGES.get(word.lower().rstrip(":="))
    if change is not None:
        name = word.lower().rstrip(":=")
        return await (change(request, rest.strip()) if rest.strip() else _show_one(request, name))
    address = read_address(word)
    if address:
        return await change_person(request, address, rest.strip())
    message = await find_message(request.account, word.strip("#.,:").lower())
    if message is None:
        raise CommandError(_no_such_setting(word))
    return await change_mail(request, message, rest.strip())


def _no_such_setting(word: str) -> str:
    near = difflib.get_close_matches(word.lower(), _CHANGES, 1)
    more = (
        f"did you mean: settings {near[0]}?" if near else "type help settings, or list for your mails' codes"
    )
    return f"there is no setting “{one_line(word, 30)}”, and no mail of yours has that code; {more}"


async def _show(request: Request) -> Reply:
    account = request.account
    now, zone = request.services.now(), zone_of(account.timezone)
    lines = [f"{name}: {said}" for name, said in _told(request).items()]
    if account.muted_until and account.muted_until > now:
        lines.append(f"muted until {moment(account.muted_until, now, zone)}")
    lines += [f"{domain}: {mode}" for domain, mode in list(_domains(account).items())[:20]]
    lines += [await _describe(one) for one in await Destination.filter(account_id=account.id).order_by("id")]
    lines.append("To change one: settings opens first · settings timezone Europe/Madrid · help settings")
    rows = (
        tuple(Button(f"Opens: {policy}", f"settings opens {policy}") for policy in POLICIES),
        tuple(Button(f"Clicks: {policy}", f"settings clicks {policy}") for policy in POLICIES),
    )
    return Reply(title="Your settings:", lines=tuple(lines), buttons=rows)


def _told(request: Request) -> dict[str, str]:
    """What is set, by the setting's name."""
    account = request.account
    now, zone = request.services.now(), zone_of(account.timezone)
    return {
        "opens": f"{account.ring_opens} – I ring for {POLICIES.get(account.ring_opens, '')}",
        "clicks": account.ring_clicks,
        "mode": f"{account.mode} – I record {MODES.get(account.mode, '')}",
        "timezone": f"{account.timezone or 'UTC (not set)'}, where it is {now.astimezone(zone):%H:%M}",
        **peace.tell_peace(account),
    }


async def _show_one(request: Request, name: str) -> Reply:
    """`settings NAME` alone changes nothing: it shows what is set, and how to change it."""
    if name == "devices":
        return await answer_taught(replace(request, arguments=""))
    said = await tell_here(request) if name == "here" else _told(request).get(name)
    if said is None:  # on, off
        raise CommandError(f"which domain? Type such as: settings {name} acme.com")
    return Reply(title=f"{name}: {said}.", lines=(f"To change it: {_EXAMPLES[name]}",), private=False)


async def _describe(destination: Destination) -> str:
    where = f"{destination.platform}, {one_line(destination.title, 40) or 'our private chat'}"
    if destination.off_at is None:
        only = f" – {tell_purpose(destination.purpose)}" if destination.purpose else ""
        return f"rings here: {where}{only}"
    why = f" ({one_line(destination.off_reason, 60)})" if destination.off_reason else ""
    return f"off: {where}{why}; settings here on switches it on there"


async def _change_policy(request: Request, name: str, value: str) -> Reply:
    policy = read_choice(value, POLICIES, f"settings {name} important")
    await Account.filter(id=request.account.id).update(**{_RINGS[name]: policy})
    more = "" if name == "clicks" else f" – for {POLICIES[policy]}"
    return Reply(title=f"I ring for {name}: {policy}{more}.", private=False)


async def _change_opens(request: Request, value: str) -> Reply:
    return await _change_policy(request, "opens", value)


async def _change_clicks(request: Request, value: str) -> Reply:
    return await _change_policy(request, "clicks", value)


async def _change_timezone(request: Request, value: str) -> Reply:
    name = _find_zone(value)
    moved = await peace.change_timezone(request, name)
    time = request.services.now().astimezone(zone_of(name))
    lines = (f"{plural(moved, 'reminder')} moved along.",) if moved else ()
    return Reply(title=f"Your time zone is {name}; it is {time:%H:%M} there.", lines=lines, private=False)


def _find_zone(value: str) -> str:
    """A zone by its name, however it is written, or by its city: "madrid", "europe/madrid", "New York"."""
    wanted = value.strip().replace(" ", "_").lower()
    zones = {name.lower(): name for name in zoneinfo.available_timezones()}
    if wanted in zones:
        return zones[wanted]
    cities = sorted(name for name in zones.values() if name.lower().rpartition("/")[2] == wanted)
    if cities and wanted:
        return min(cities, key=lambda name: (name.count("/") != 1, name))
    near = difflib.get_close_matches(wanted, zones, 1)
    known = f"did you mean {zones[near[0]]}?" if near else "type one such as Europe/Madrid"
    said = f"I know no time zone “{one_line(value, 40)}”" if wanted else "the time zone is missing"
    raise CommandError(f"{said}; {known}")


async def _change_mode(request: Request, value: str) -> Reply:
    """`settings mode clicks` for the account, `settings mode clicks acme.com` for a domain."""
    word, _, rest = value.partition(" ")
    mode = read_choice(word, MODES, "settings mode clicks")
    if rest.strip():
        return await _change_domain(request, rest, mode)
    await Account.filter(id=request.account.id).update(mode=mode)
    return Reply(
        title=f"From now on I record {MODES[mode]} in new mails.",
        lines=("Mails that are tracked already stay as they are; settings CODE mode off stops one.",),
        private=False,
    )


async def _switch_off(request: Request, value: str) -> Reply:
    return await _change_domain(request, value, "off")


async def _switch_on(request: Request, value: str) -> Reply:
    return await _change_domain(request, value, "full")


def _domains(account: Account) -> dict[str, str]:
    preferences = account.preferences if isinstance(account.preferences, dict) else {}
    domains = preferences.get("domains")
    return dict(domains) if isinstance(domains, dict) else {}


async def _change_domain(request: Request, value: str, mode: str) -> Reply:
    found = _DOMAIN.fullmatch(value.strip().lower())
    if found is None or len(found[1]) > 253:
        raise CommandError(f"“{one_line(value, 40)}” is no domain; type one such as: settings off acme.com")
    domain = found[1]

    async def work() -> None:
        # Read anew, locked: two changes at once must both stay.
        account = await Account.filter(id=request.account.id).select_for_update().get()
        domains = {name: one for name, one in _domains(account).items() if name != domain}
        if mode != "full":
            domains[domain] = mode
        if len(domains) > MOST_DOMAINS:
            raise CommandError(
                f"these are {MOST_DOMAINS} domains already; type settings on DOMAIN to free one"
            )
        kept = account.preferences if isinstance(account.preferences, dict) else {}
        account.preferences = {**kept, "domains": domains}
        await account.save(update_fields=["preferences"])

    await atomically(work)
    return Reply(
        title=f"New mails to {domain}: {MODES[mode]}.",
        lines=("Mails that are tracked already stay as they are.",),
    )


async def _show_devices(request: Request, value: str) -> Reply:
    """`settings devices`: what was taught, as `taught` shows it."""
    return await answer_taught(replace(request, arguments=value))


_Change = Callable[[Request, str], Awaitable[Reply]]
_CHANGES: dict[str, _Change] = {
    "opens": _change_opens,
    "clicks": _change_clicks,
    "timezone": _change_timezone,
    "mode": _change_mode,
    "off": _switch_off,
    "on": _switch_on,
    "here": change_here,
    "devices": _show_devices,
    **peace.CHANGES,
}
_EXAMPLES = {
    "opens": "settings opens all, settings opens important",
    "clicks": "settings clicks all, settings clicks none",
    "timezone": "settings timezone Europe/Madrid",
    "mode": "settings mode full, settings mode clicks",
    "here": "settings here on, settings here off, settings here replies",
    "quiet": "settings quiet 20:00-8:00, settings quiet 20:00-8:00 mon-fri, settings quiet weekends",
    "workdays": "settings workdays mon-fri",
    "remind": "settings remind noreply 3 working days, settings remind off",
    "morning": "settings morning 8:30, settings morning off",
    "weekly": "settings weekly monday 9am, settings weekly off",
}

SETTINGS = Command(
    verb="settings",
    summary="What rings, what is recorded, and where",
    usage="[NAME [VALUE]]",
    handler=answer_settings,
    details=(
        "A name alone shows what is set: settings morning.",
        "settings opens all|important|first|none, and settings clicks …: what I ring for.",
        "settings timezone Europe/Madrid: for times, reminders, quiet hours and mute morning.",
        "settings quiet 20:00-8:00 (or … mon-fri), settings quiet weekends, settings quiet off.",
        "settings remind noreply 3 working days: for every new mail. settings workdays mon-fri.",
        "settings morning 8:30, settings weekly monday 9am: a summary, or off.",
        "settings mode full|clicks|off: what new mails record.",
        "settings off acme.com, settings on acme.com: nothing is recorded of mails to that domain, or again.",
        "settings here on|off: whether it rings in the chat where you type it; or what for: opens, replies, "
        "reminders, digests, all.",
        "settings devices: what you said was you, or no person (as taught).",
        "settings CODE opens first, settings ana@acme.com opens none: for one mail or person.",
        "settings CODE mode clicks|off: what a mail goes on recording.",
    ),
    examples=("settings", "settings opens important", "settings ana@acme.com opens none"),
)
