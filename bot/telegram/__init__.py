"""Telegram, by python-telegram-bot. Imported only where a token is set: the library costs memory."""

from bot.telegram.chat import TelegramChat

__all__ = ["TelegramChat"]
