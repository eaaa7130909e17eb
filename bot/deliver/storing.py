"""Storing what a chat already took: until it is stored, whatever the database does meanwhile.

A message that was shown but not marked is shown twice; so a mark is tried again until the process ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from models.database import DATABASE_FAULTS
from models.writer import WriterDownError

T = TypeVar("T")

# What the database throws while it is locked, full or gone, through the writer or through the models.
DatabaseDown = (WriterDownError, *DATABASE_FAULTS)

LONGEST_PAUSE = 5.0

log = logging.getLogger(__name__)


async def insist(work: Callable[[], Awaitable[T]], stopping: asyncio.Event) -> T:
    """Runs `work` until the database takes it. Gives up, with the error, only when the process stops."""
    pause = 0.1
    while True:
        try:
            return await work()
        except DatabaseDown as error:
            if stopping.is_set():
                raise
            log.warning("what was shown could not be stored yet: %s", type(error).__name__)
        try:
            async with asyncio.timeout(pause):
                await stopping.wait()
        except TimeoutError:
            pause = min(pause * 2, LONGEST_PAUSE)
