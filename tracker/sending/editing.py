"""What a mail that is sent through says, and the edits of each recipient's copy: the work with its bytes.

Pure. tracker/sending/editor.py runs this file's `serve` in processes of its own, since parsers take seconds
on hostile mail and the event loop must not wait. What goes wrong here leaves the mail as its sender wrote it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from tracker.mail.encodings import Edit
from tracker.mail.parsing import Parsed, parse_mail
from tracker.mail.rewrite import Plan, Survey, rewrite_for, survey

ASKED = struct.Struct(">II")  # lengths of the question and of the mail
ANSWER = struct.Struct(">I")

FAULT = "a fault of ours"


@dataclass(frozen=True)
class Examined:
    """A mail as the relay needs it: its headers and our tokens; its links that may be tracked.

    `untracked`: why it goes as it is, or None. `quoted`: tokens of tracked links that stand in it.
    """

    parsed: Parsed
    untracked: str | None = None
    links: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()


@dataclass(frozen=True)
class CopyPlan:
    """What one recipient's copy gets: its pixel, its tracked address of each URL."""

    pixel_url: str | None
    links: Mapping[str, str]


@dataclass(frozen=True)
class CopyEdits:
    """All that one copy differs by from the mail as it came; without tracking `untracked` says why."""

    edits: tuple[Edit, ...]
    untracked: str | None = None


def examine(raw: bytes, base_url: str) -> Examined:
    """What the mail is. Never raises."""
    parsed = parse_mail(raw, base_url)
    found = survey(raw, base_url)
    reason = None if found.untracked is None else found.untracked.value
    return Examined(parsed, reason, found.links, found.tokens)


def edit_copies(
    raw: bytes, base_url: str, plans: Sequence[CopyPlan], targets: Mapping[str, str]
) -> list[CopyEdits]:
    """The edits of each plan's copy. `targets` leads from tokens in quoted text back to their URLs."""
    found = survey(raw, base_url)
    return [_edit_copy(found, plan, targets) for plan in plans]


def _edit_copy(found: Survey, plan: CopyPlan, targets: Mapping[str, str]) -> CopyEdits:
    done = rewrite_for(found, Plan(plan.pixel_url, plan.links.get, targets.get))
    return CopyEdits(done.edits, None if done.untracked is None else done.untracked.value)


def answer(question: Mapping[str, Any], raw: bytes) -> dict[str, Any]:
    """The answer to a question of tracker/sending/editor.py, as JSON can say it."""
    base_url = str(question["base_url"])
    if question["do"] == "examine":
        found = examine(raw, base_url)
        return {
            "parsed": found.parsed.to_json(),
            "untracked": found.untracked,
            "links": found.links,
            "quoted": found.quoted,
        }
    plans = [CopyPlan(pixel, links) for pixel, links in question["plans"]]
    copies = edit_copies(raw, base_url, plans, question["targets"])
    return {
        "copies": [
            ([(one.start, one.end, one.new.decode("latin-1")) for one in copy.edits], copy.untracked)
            for copy in copies
        ]
    }


def read_examined(given: Mapping[str, Any]) -> Examined:
    """`examine`'s result out of its answer; KeyError, ValueError or TypeError for anything else."""
    return Examined(
        Parsed.from_json(given["parsed"]), given["untracked"], tuple(given["links"]), tuple(given["quoted"])
    )


def read_copies(given: Mapping[str, Any]) -> list[CopyEdits]:
    """`edit_copies`' result out of its answer; KeyError, ValueError or TypeError for anything else."""
    return [
        CopyEdits(tuple(Edit(start, end, new.encode("latin-1")) for start, end, new in edits), reason)
        for edits, reason in given["copies"]
    ]


def serve(given: BinaryIO, answers: BinaryIO, work: Callable[..., dict[str, Any]] = answer) -> None:
    """Questions on stdin, each with its mail; for each the answer on stdout. Until stdin ends."""
    while len(head := given.read(ASKED.size)) == ASKED.size:
        for_question, for_mail = ASKED.unpack(head)
        question, raw = json.loads(given.read(for_question)), given.read(for_mail)
        told = json.dumps(work(question, raw)).encode()
        answers.write(ANSWER.pack(len(told)) + told)
        answers.flush()
