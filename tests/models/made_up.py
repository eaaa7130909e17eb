"""A package of migrations for tests: the real ones, and made-up ones after them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models import migrations

_HEAD = """
from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import UniqueConstraint
from models.columns import Instant

class Migration(migrations.Migration):
    dependencies = [("models", "{after}")]
    operations = [{operations}]
"""


@contextmanager
def migrations_with(directory: Path, **made_up: str) -> Iterator[str]:
    """Name of a package with the real migrations, and then one for each name: its operations as source."""
    name = f"made_up_{abs(hash(str(directory)))}"
    package = directory / name
    shutil.copytree(Path(migrations.__path__[0]), package, ignore=shutil.ignore_patterns("__pycache__"))
    after = max(one.stem for one in package.glob("0*.py"))
    for title, operations in made_up.items():
        stem = f"9{title}"
        (package / f"{stem}.py").write_text(_HEAD.format(after=after, operations=operations))
        after = stem
    sys.path.insert(0, str(directory))
    try:
        yield name
    finally:
        sys.path.remove(str(directory))
        for module in [one for one in sys.modules if one.partition(".")[0] == name]:
            del sys.modules[module]
