"""What it costs to put one recipient's pixel and links into a newsletter of 100 kB of HTML.

`survey` is done once for a mail, `recipient` for each copy. html.parser only finds the links, and stands here
as the measure of the machine. The best of many rounds, and the 95th percentile, in milliseconds.
"""

from __future__ import annotations

import email.policy
import html.parser
import time
from collections.abc import Callable
from email.message import EmailMessage

from tracker.mail.raw_limits import refusal
from tracker.mail.rewrite import Plan, rewrite, rewrite_for, survey

BASE = "https://t.example"
PLAN = Plan(f"{BASE}/o/{'p' * 22}.gif", lambda _url: f"{BASE}/c/{'c' * 22}")
ROUNDS = 60
SIZE = 100_000
_HEAD = (
    "<!DOCTYPE html><html><head><style>td { padding: 0 }</style><!--[if mso]><x></x><![endif]--></head>\n"
    "<body><![if !mso]><table>\n"
)
_ROW = (
    '<tr><td style="padding:0 24px;font-family:Arial,sans-serif;font-size:14px" align="left" valign="top">\n'
    '<img src="https://cdn.acme.com/pictures/{n}.png" width="200" height="120" alt="A picture, > and all">\n'
    '<p style="margin:0 0 12px">Our news for today is told in a few sentences, so that there is something to '
    "read between the links; it is not long.</p>\n"
    '<a href="https://acme.com/news/{n}?utm_source=mail&amp;utm_medium=letter" style="color:#06c">'
    "<b>Read on</b></a></td></tr>\n"
)


def newsletter(links: int) -> str:
    """A page of SIZE bytes with so many links."""
    rows = [_ROW.replace("{n}", str(number)) for number in range(links)]
    missing = SIZE - len(_HEAD) - sum(map(len, rows))
    filler = "<tr><td class='x'><font color=red>Some words</font> and others.</td></tr>\n"
    each = missing // len(filler) // links
    return _HEAD + "".join(row + filler * each for row in rows) + "</table><![endif]></body></html>\n"


def _mail(page: str, encoding: str) -> bytes:
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"], mail["To"], mail["Subject"] = "alice@acme.com", "ana@acme.com", "News"
    mail.set_content("Our news.")
    mail.add_alternative(page, subtype="html", cte=encoding)
    return mail.as_bytes()


def _time(work: Callable[[], object]) -> tuple[float, float]:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1e3)
    took.sort()
    return took[0], took[int(len(took) * 0.95)]


def _row(name: str, times: tuple[float, float], more: str = "") -> None:
    print(f"{name:<34}{times[0]:>8.1f}{times[1]:>8.1f}  {more}")


def run() -> None:
    """Prints the table."""
    print(f"{'milliseconds':<34}{'best':>8}{'p95':>8}")
    for links in (60, 250):
        page = newsletter(links)
        print(f"{len(page) // 1000} kB with {links} links")
        for encoding in ("7bit", "quoted-printable", "base64"):
            raw = _mail(page, encoding)
            found = survey(raw, BASE)
            done = rewrite(raw, PLAN, BASE)
            assert done.untracked is None
            assert len(found.links) == links
            name = f"  {encoding}"
            _row(f"{name}, whole", _time(lambda raw=raw: rewrite(raw, PLAN, BASE)))
            _row(f"{name}, each recipient", _time(lambda found=found: rewrite_for(found, PLAN)))
            _row(f"{name}, limits checked", _time(lambda raw=raw: refusal(raw)))
        _row("  html.parser alone", _time(lambda page=page: html.parser.HTMLParser().feed(page)))


if __name__ == "__main__":
    run()
