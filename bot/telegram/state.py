"""Single facts that Telegram's part keeps across restarts, in InstanceState: what we told Telegram last."""

from __future__ import annotations

from tortoise.exceptions import IntegrityError

from models import InstanceState


async def recall(key: str) -> str | None:
    """What was remembered under this key, or None."""
    found = await InstanceState.get_or_none(key=key)
    return found.value if found else None


async def remember(key: str, value: str) -> None:
    """Keeps one value for the key."""
    try:
        await InstanceState.create(key=key, value=value)
    except IntegrityError:
        await InstanceState.filter(key=key).update(value=value)
