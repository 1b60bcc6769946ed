"""The message of each disaster as a file under docs/messages: compared by the tests, written anew on purpose only.

python -m tests.e2e.messages --write
"""

import os
import re
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from gateway.messages import TITLES
from tests.house.tree import ROOT

FOLDER = ROOT / "docs" / "messages"
WRITE = "WRITE_MESSAGES"


@dataclass(frozen=True)
class Disaster:
    """One bad day. `ends`: held, stopped, set aside, not touched, or published where it is the plans that wait."""

    number: int
    name: str
    title: str
    story: str
    ends: str

    @property
    def file(self) -> str:
        return f"{self.number:02}-{self.name}.md"

    def told(self, parts: Mapping[str, str]) -> None:
        """See that people are told what the file says."""
        sections = [f"## {title}\n{_wrapped(parts[part])}" for part, title in TITLES.items()]
        _same(self.file, "\n\n".join([f"# {self.number}. {self.title}", _wrapped(self.story), *sections]) + "\n")


PLANS = "published; plans wait"
DISASTERS = {
    1: Disaster(
        1, "empty-page", "The source says that nobody is there",
        "The service answers 200 with an empty list of users, as if the district had no people.", "held",
    ),
    2: Disaster(
        2, "column-names", "Invisible signs in the column names",
        "The export in files begins with a byte order mark, which is common and does no harm, and writes a column name "
        "with an invisible sign in it, so that no row could be recognised.", "stopped",
    ),
    3: Disaster(
        3, "school-ids", "The schools have other ids",
        "Overnight every school got another number, and everything that belongs to a school with it.", "held",
    ),
    4: Disaster(
        4, "half-the-pages", "Half of the pages, then errors",
        "The service fails in the middle of a collection and does not recover.", "stopped",
    ),
    5: Disaster(
        5, "unstable-order", "19 of 606 records are missing, and the count is right",
        "The service sorts its pages differently each time: 606 records come, 19 of them twice, and 19 others not at "
        "all.", "stopped",
    ),
    6: Disaster(
        6, "everybody-moves", "Everybody changes section",
        "The new year was rolled over too early: every student sits in another section of every course.", "held",
    ),
    7: Disaster(
        7, "hidden-year", "The next year is hidden until rollover",
        "Between two years the service shows no sections and nobody in them.", "held",
    ),
    8: Disaster(
        8, "new-ids", "All ids are generated anew",
        "After a migration the service gives every record another id; the people, and their numbers, are the same.",
        "held",
    ),
    9: Disaster(
        9, "revoked", "The credentials are revoked in the middle",
        "While the sync runs, somebody switches its access off.", "stopped",
    ),
    10: Disaster(
        10, "sign-in-page", "A web page instead of a token",
        "A sign-in page was put in front of the address that gives out tokens.", "stopped",
    ),
    11: Disaster(
        11, "poison", "One record that nobody can read",
        "Among the people is one record that is nested without end.", "set aside",
    ),
    13: Disaster(
        13, "rights-ended", "A parent loses their rights after the plan is finalized",
        "A court has decided: from now on the source says of a contact that they have no right, and the plan in force "
        "names them.", PLANS,
    ),
    14: Disaster(
        14, "consent-revoked", "A consent is revoked while the plan waits to be sent",
        "The family let a plan go to another system. It waits for its turn there, and they take that back.",
        "published; one plan waits",
    ),
    15: Disaster(
        15, "owner-gone", "Who owns a support leaves",
        "A teacher is not in the roster any more, and answers for supports in plans that are in force.", PLANS,
    ),
    16: Disaster(
        16, "twins", "Twins are taken for one child",
        "Somebody merged two pairs of twins: one child of each is gone, with all results under the other.",
        "held",
    ),
    17: Disaster(
        17, "student-moved", "A student changes schools in the middle of a plan",
        "In the middle of the year a student is enrolled at another school of the district, and another one nowhere.",
        PLANS,
    ),
    18: Disaster(
        18, "mark-dropped", "The SIS writes over our mark",
        "Each night the SIS sends every enrollment anew, without the value that marks students who have a plan.",
        "not touched",
    ),
    19: Disaster(
        19, "clock", "A clock that is ten minutes wrong",
        "The clock of the service is ten minutes ahead, so that it takes every token for one that has ended.",
        "stopped",
    ),
    20: Disaster(
        20, "full-disk", "The disk is full while a plan is finalized",
        "The disk of the database has no room left.", "stopped",
    ),
}  # fmt: skip

_INDEX = """# What people are told on a bad day

Each of these days is played by a test (`tests/e2e/test_disasters.py`, and `test_full_disk.py`, `test_verification.py`
and `test_consent_revoked.py` beside it; what waits in plans: `tests/store/test_attention.py`), and none of them does
harm to what is published: the sync is held and waits for a person, or it stops, or it goes on without the record that
is wrong. Where the sync is right and the world has changed, the plans that rested on it wait for a person. What a
person is then told, by command line, e-mail and webhook, is written here word for word, with another run number and
date. The numbers are those of a longer list of known disasters.

| | What happens at the source | The sync |
|---|---|---|
"""


def index() -> None:
    """See that the list of the messages is right."""
    lines = [f"| {one.number} | [{one.title}]({one.file}) | {one.ends} |\n" for one in DISASTERS.values()]
    _same("README.md", _INDEX + "".join(lines))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_on_hyphens=False, break_long_words=False)


def _same(file: str, text: str) -> None:
    path = FOLDER / file
    if os.environ.get(WRITE):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"python -m tests.e2e.messages --write writes {file} anew"


def anonymous(text: str, *, run: int, good: int | None) -> str:
    """With the run as number 12 and the last good one as 11, and the connection as sis."""
    for number, instead in ((run, 12), (good, 11)):
        text = re.sub(rf"\b([Rr]uns?|show|approve|refuse|--run) {number}\b", rf"\1 {instead}", text)
    return re.sub(r"oneroster(?!-)", "sis", text)  # but not in the code of an error


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("python -m tests.e2e.messages --write: play all disasters and write their messages anew")
    os.environ[WRITE] = "yes"
    sys.exit(
        pytest.main(
            [
                str(ROOT / "tests" / name)
                for name in (
                    "e2e/test_disasters.py",
                    "e2e/test_consent_revoked.py",
                    "e2e/test_full_disk.py",
                    "e2e/test_verification.py",
                    "store/test_attention.py",
                )
            ]
        )
    )
