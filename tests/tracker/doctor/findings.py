"""How the tests of the doctor read its findings, and change what it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracker.doctor.findings import Finding
from tracker.services import Services


def states(found: Sequence[Finding]) -> dict[str, str]:
    return {one.key: one.state for one in found}


def moved(services: Services, **settings: Any) -> Services:
    """The same services with other settings."""
    changed = services.settings.model_copy(update=settings)
    return Services(changed, services.writer, services.wake, services.now)
