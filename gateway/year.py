"""What the change from one school year to the next does to people: who is promoted, who ends and why, whose
assignments end together.

A person is looked at as published before a run and after it; None where there was nobody, or is nobody any more.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

Doc = dict[str, Any]

GRADES = ("IT", "PR", "PK", "TK", "KG", *(f"{n:02d}" for n in range(1, 14)), "PS")
"""Grades in their order, CEDS codes; ungraded and other have no place in it."""
SETTLING = timedelta(days=30)
"""How long after the first day students may still turn out not to have come back."""
TOGETHER = 5
"""So many staff assignments of a district that end on one day are told as one list."""


@dataclass(frozen=True)
class Change:
    """A year change that was announced: last day of the old year, first day of the new one. `publication`: how things
    stood then; `highest_grade`: of the district's students then, empty where nobody had one."""

    id: int
    last_day: date
    first_day: date
    publication: int
    highest_grade: str

    def lasts(self, today: date) -> bool:
        """Whether what happens on that day belongs to it."""
        return self.last_day <= today <= self.first_day + SETTLING

    def told(self) -> dict[str, Any]:
        return {"id": self.id, "last_day": self.last_day.isoformat(), "first_day": self.first_day.isoformat()}


@dataclass(frozen=True)
class Moved:
    """A person whom a run changed."""

    id: str
    before: Doc | None
    after: Doc | None


@dataclass
class School:
    """What a run does to one school: students by what becomes of them, and what ends or begins there."""

    school: str
    promoted: int = 0
    graduates: int = 0
    leavers: int = 0
    sections_ended: int = 0
    enrollments_ended: int = 0
    sections_new: int = 0
    assignments_ended: int = 0

    def told(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Assignments:
    """Staff assignments of one school that end on one day."""

    school: str
    ends_on: date
    assignments: int

    def told(self) -> dict[str, Any]:
        return asdict(self) | {"ends_on": self.ends_on.isoformat()}


def highest(grades: Iterable[str]) -> str:
    """The highest of these grades; empty where none has a place in the order."""
    return max((grade for grade in grades if grade in GRADES), key=GRADES.index, default="")


def is_promoted(one: Moved) -> bool:
    """Whether a student goes on in a higher grade."""
    was, now = (highest((doc or {}).get("grades", ())) for doc in (one.before, one.after))
    return bool(was and now) and GRADES.index(now) > GRADES.index(was)


def is_over(doc: Doc | None, today: date) -> bool:
    """Whether nobody is there, or was: every role has had its last day."""
    roles = (doc or {}).get("roles", ())
    return doc is None or (bool(roles) and all(role.get("end_on", "9") <= today.isoformat() for role in roles))


def reason(stood: Doc | None, change: Change) -> str | None:
    """Why a student ends who stood so when the year change was announced; None where that was before the old year's
    last day, and has nothing to do with it."""
    if stood is not None and is_over(stood, change.last_day - timedelta(days=1)):
        return None
    grade = highest((stood or {}).get("grades", ()))
    return "graduated" if grade and grade == change.highest_grade else "left"


def home(doc: Doc | None) -> str | None:
    """The organization a person is counted at: the main one, else that of the first role."""
    if not doc:
        return None
    roles = doc.get("roles") or [{}]
    found: str | None = doc.get("primary_organization") or roles[0].get("organization")
    return found


Ending = tuple[str, date | None]
"""Where a staff assignment ends, and its last day; None where it is only gone."""


def ending_assignments(people: Iterable[Moved], today: date) -> list[Ending]:
    """Each staff assignment that a run ends: it gets a last day, or is not there any more and was to go on."""
    return [ending for one in people for ending in _ending(one, today)]


def _ending(one: Moved, today: date) -> Iterable[Ending]:
    after = {(role["role"], role["organization"]): role for role in (one.after or {}).get("roles", ())}
    for role in (one.before or {}).get("roles", ()):
        now = after.get((role["role"], role["organization"]))
        was = role.get("end_on")
        if now is None and (was is None or was > today.isoformat()):
            yield role["organization"], None
        elif now is not None and now.get("end_on") not in (None, was):
            yield role["organization"], date.fromisoformat(now["end_on"])


def together(endings: Sequence[Ending]) -> dict[tuple[str, date], int]:
    """(organization, day) -> how many end, of the last days that many have."""
    days = Counter(day for _, day in endings)
    return dict(Counter((place, day) for place, day in endings if day is not None and days[day] >= TOGETHER))


def listed(ended: Iterable[Mapping[str, Any]]) -> str:
    """Assignments, as they are told, in sentences that each begin with a space: one a day, with how many end where."""
    days: dict[str, list[str]] = {}
    for one in ended:
        days.setdefault(one["ends_on"], []).append(f"{one['assignments']:,} at {one['school']}")
    return "".join(
        f" Staff assignments that end on {date.fromisoformat(day):%a} {int(day[8:])} {date.fromisoformat(day):%b %Y}: "
        f"{', '.join(places)}."
        for day, places in sorted(days.items())
    )
