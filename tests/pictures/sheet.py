"""Two phones side by side on one sheet: the HTML that the camera takes."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
SMALL_PRINT = (
    "Drawn from the payloads that mailbell sent to local fakes of the two chat APIs. "
    "Not a photograph of the apps."
)


def sheet(slack: str, telegram: str) -> str:
    """A whole page around the two conversations."""
    style = "".join((FOLDER / f"{name}.css").read_text() for name in ("sheet", "slack", "telegram"))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{style}</style><body>'
        f'<div class="sheet">{_phone("slack", "mailbell", "in Slack", slack)}'
        f"{_phone('telegram', 'mailbell', 'in Telegram', telegram)}</div>"
        f'<p class="small-print">{SMALL_PRINT}</p></body></html>'
    )


def _phone(name: str, title: str, where: str, talk: str) -> str:
    return (
        f'<section class="phone {name}"><div class="top">{title}<small>{where}</small></div>'
        f'<div class="talk">{talk}</div></section>'
    )
