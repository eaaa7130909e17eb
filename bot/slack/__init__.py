"""Slack: Socket Mode or HTTP in, Block Kit out. `__main__` builds the SlackChat; nothing else of ours does.

The name is looked up on use: the manifest and the blocks can be had without loading Slack's SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bot.slack.chat import SlackChat as SlackChat

__all__ = ["SlackChat"]


def __getattr__(name: str) -> Any:
    if name == "SlackChat":
        from bot.slack.chat import SlackChat

        return SlackChat
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
