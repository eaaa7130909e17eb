"""Rows of rendered keys as the library's inline keyboard."""

from __future__ import annotations

from telegram import CopyTextButton, InlineKeyboardButton, InlineKeyboardMarkup

from bot.telegram.text import Key


def keyboard(rows: tuple[tuple[Key, ...], ...]) -> InlineKeyboardMarkup | None:
    """The keyboard under a message, or None where there are no buttons."""
    return InlineKeyboardMarkup([[_button(key) for key in row] for row in rows]) if rows else None


def _button(key: Key) -> InlineKeyboardButton:
    if key.copy:
        return InlineKeyboardButton(key.text, copy_text=CopyTextButton(key.copy))
    return InlineKeyboardButton(key.text, callback_data=key.action)
