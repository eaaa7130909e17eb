"""Pictures for the chat: the heat map of a week, and a trend in bars. PNG bytes, made for a phone's width.

Called by the commands `best` and `stats`. Nothing that a person or a stranger wrote stands in them (names and
subjects are in the message beside the picture), so the font that comes with the library is enough.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

WIDTH = 1080  # pixels: a phone shows it at a third of that
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TEXT = 36
_INK, _FAINT, _PAPER = "#1f2933", "#566270", "#ffffff"
_EMPTY, _FULL = (235, 240, 247), (11, 79, 158)
_MARK = "#e8590c"
_SENT, _OPENED, _CLICKED = "#cbd5e1", "#2f74c8", "#0b3c7a"

_LEFT, _TOP, _CELL_GAP = 96, 64, 3
_CELL_WIDTH, _CELL_HEIGHT = 40, 62


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def heat_map(rates: Sequence[float], marked: Collection[int] = ()) -> bytes:
    """168 rates (Monday 0:00 first), the darker the higher; the `marked` hours of the week are framed."""
    bottom = _TOP + 7 * _CELL_HEIGHT
    picture = Image.new("RGB", (WIDTH, bottom + 84), _PAPER)
    draw = ImageDraw.Draw(picture)
    lowest, highest = min(rates), max(rates)
    for hour in range(0, 24, 3):
        draw.text((_left_of(hour), _TOP - 12), f"{hour}:00", _FAINT, _font(32), anchor="ls")
    for day, name in enumerate(DAYS):
        middle = _TOP + day * _CELL_HEIGHT + _CELL_HEIGHT // 2
        draw.text((12, middle), name, _INK, _font(_TEXT), anchor="lm")
        for hour in range(24):
            share = (rates[24 * day + hour] - lowest) / ((highest - lowest) or 1)
            draw.rounded_rectangle(_cell(day, hour), 6, _shade(share))
    for slot in marked:
        draw.rounded_rectangle(_cell(*divmod(slot, 24)), 6, None, _MARK, 6)
    _legend(draw, bottom + 44)
    return _png(picture)


def _left_of(hour: int) -> int:
    return _LEFT + hour * _CELL_WIDTH


def _cell(day: int, hour: int) -> tuple[int, int, int, int]:
    left, top = _left_of(hour), _TOP + day * _CELL_HEIGHT
    return left, top, left + _CELL_WIDTH - _CELL_GAP, top + _CELL_HEIGHT - _CELL_GAP


def _shade(share: float) -> tuple[int, int, int]:
    """Dark where it matters: what lies between is spread so that middle values differ too."""
    share = min(1.0, max(0.0, share)) ** 0.8
    red, green, blue = (round(low + (high - low) * share) for low, high in zip(_EMPTY, _FULL, strict=True))
    return red, green, blue


def _legend(draw: ImageDraw.ImageDraw, middle: int) -> None:
    draw.text((_LEFT, middle), "opens less", _FAINT, _font(32), anchor="lm")
    for step in range(6):
        left = _LEFT + 190 + step * 44
        draw.rounded_rectangle((left, middle - 16, left + 40, middle + 16), 6, _shade(step / 5))
    draw.text((_LEFT + 470, middle), "more", _FAINT, _font(32), anchor="lm")
    left = _LEFT + 640
    draw.rounded_rectangle((left, middle - 16, left + 40, middle + 16), 6, None, _MARK, 6)
    draw.text((left + 56, middle), "best", _FAINT, _font(32), anchor="lm")


@dataclass(frozen=True)
class Bar:
    """One day, or one week from that day on."""

    day: dt.date
    mails: int
    opened: int
    clicked: int


def trend(bars: Sequence[Bar], *, weekly: bool = False) -> bytes:
    """Mails by the day (or week) they were made: all of them, those opened, those clicked."""
    height, top, bottom = 560, 90, 480
    picture = Image.new("RGB", (WIDTH, height), _PAPER)
    draw = ImageDraw.Draw(picture)
    left = 90
    named = (
        ("mails" + (" a week" if weekly else " a day"), _SENT),
        ("opened", _OPENED),
        ("clicked", _CLICKED),
    )
    for place, (name, color) in zip((left, 480, 740), named, strict=True):
        draw.rounded_rectangle((place, 26, place + 32, 58), 6, color)
        draw.text((place + 46, 42), name, _INK, _font(_TEXT), anchor="lm")
    most = _round_up(max((bar.mails for bar in bars), default=0))
    for share in (0, 0.5, 1):
        y = bottom - share * (bottom - top)
        draw.line((left, y, WIDTH - 16, y), "#e4e9f0", 2)
        if share * most == int(share * most):
            draw.text((left - 12, y), f"{int(share * most):,}", _FAINT, _font(30), anchor="rm")
    step = (WIDTH - 16 - left) / max(1, len(bars))
    for number, bar in enumerate(bars):
        x, wide = left + number * step + step * 0.12, max(2.0, step * 0.76)
        for value, color in ((bar.mails, _SENT), (bar.opened, _OPENED), (bar.clicked, _CLICKED)):
            if value:
                y = bottom - max(3.0, value / most * (bottom - top))
                draw.rectangle((x, y, x + wide, bottom), color)
    for number in _labelled(len(bars)):
        said, font = _day(bars[number].day), _font(32)
        most_right = WIDTH - 8 - font.getlength(said) / 2  # the last one stays inside the picture
        middle = min(left + (number + 0.5) * step, most_right)
        draw.text((middle, bottom + 14), said, _FAINT, font, anchor="mt")
    return _png(picture)


def _labelled(count: int) -> list[int]:
    """Which bars have their day written under them: about five, evenly."""
    every = max(1, -(-count // 5))
    return list(range(every // 2, count, every))


def _day(day: dt.date) -> str:
    return f"{day.day} {day:%b}"


def _round_up(number: int) -> int:
    """An even number that the axis can end at, little above the highest bar."""
    scale = 1
    while scale * 10 < number:
        scale *= 10
    ends = (10, 12, 16, 20, 24, 30, 40, 50, 60, 80, 100)
    found = [end * scale // 10 for end in ends]
    return next((end for end in found if end >= max(2, number) and end % 2 == 0), 10 * scale)


_BLOCKS = "·▁▂▃▄▅▆▇█"


def heat_text(rates: Sequence[float]) -> list[str]:
    """The heat map for chats without pictures: a line for each day, a character for each hour."""
    lowest, highest = min(rates), max(rates)
    spread = (highest - lowest) or 1
    days = [
        "".join(_block((rate - lowest) / spread) for rate in rates[24 * day : 24 * day + 24])
        for day in range(7)
    ]
    return ["    0··3··6··9··12·15·18·21·", *(f"{name} {row}" for name, row in zip(DAYS, days, strict=True))]


def trend_text(bars: Sequence[Bar]) -> list[str]:
    """The trend for chats without pictures: a character for each bar."""
    most = max((bar.mails for bar in bars), default=0) or 1
    mails = "".join(_block(bar.mails / most) for bar in bars)
    opened = "".join(_block(bar.opened / most) for bar in bars)
    return [f"mails:  {mails}", f"opened: {opened}", f"{_day(bars[0].day)} to {_day(bars[-1].day)}"]


def _block(share: float) -> str:
    return _BLOCKS[-(-int(share * 1000) * (len(_BLOCKS) - 1) // 1000)]


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.quantize(128).save(out, "PNG", optimize=True)
    return out.getvalue()
