"""A district's office through its days: each is played by the twins, pulled in the evening, and seen by a person."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gateway import clock
from synthetic import District, Year
from synthetic.model import Staff
from synthetic.terms import is_working_day
from tests.e2e.office import HELD, Office
from tests.e2e.processes import steer

CREDENTIALS, RULE = 3, 6
"""How a pull ends where the other system refuses us, and where a rule of ours says no."""
SECRET = "renewed-in-august"


@contextmanager
def on(day: date) -> Iterator[None]:
    """It is the evening of that day."""
    with patch.object(clock, "now", lambda: datetime.combine(day, time(22), UTC)):
        yield


def working_days(first: date, last: date) -> list[date]:
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if is_working_day(day)]


@dataclass(frozen=True)
class Held:
    """One evening's run that waited for a person, and why."""

    day: date
    connection: str
    run: int
    reasons: Mapping[str, str]


@dataclass
class Evenings:
    """What the evenings brought: how many runs, which were held. `urls` names the twins by their connection."""

    office: Office
    urls: Mapping[str, str]
    runs: int = 0
    held: list[Held] = field(default_factory=list)

    def pull(self, day: date) -> list[Held]:
        """Play the day and pull all of it; gives what was held."""
        self.play(day)
        return [held for name in self.urls if (held := self._pull(day, name))]

    def pull_all(self, days: Iterable[date]) -> None:
        """Day by day; what is held a person finds right the next morning."""
        for day in days:
            for held in self.pull(day):
                self.approve(held, "The SIS was asked: it is so.")

    def play(self, day: date) -> None:
        for url in self.urls.values():
            steer(url, "POST", "change", {"day": day.isoformat()})

    def _pull(self, day: date, name: str) -> Held | None:
        with on(day):
            done = self.office.home.run("pull", name, "--json", district=self.office.district)
        assert done.returncode in (0, HELD), (day, done.stdout, done.stderr)
        self.runs += 1
        if done.returncode == 0:
            return None
        run = json.loads(done.stdout)
        held = Held(day, name, run["id"], {hold["code"]: hold["reason"] for hold in run["holds"]})
        self.held.append(held)
        return held

    def approve(self, held: Held, because: str) -> None:
        with on(held.day):
            self.office.ask("holds", "approve", str(held.run), "--because", because)

    def not_pulled(self, day: date, code: int) -> list[str]:
        """Play a day on which no pull is carried out; the codes of why."""
        self.play(day)
        with on(day):
            return [self.office.ask("pull", name, code=code)["error"] for name in self.urls]


@dataclass(frozen=True)
class Known:
    """Whom the roster knows: number -> id, of students, staff and contacts."""

    people: Mapping[str, str]

    @classmethod
    def now(cls, office: Office) -> "Known":
        people = [one for one in office.entities() if one.kind == "person"]
        return cls({one.doc["identifiers"][0]["value"]: one.id for one in people})

    def with_other_ids(self, later: "Known") -> set[str]:
        """The numbers of those who are still, or again, there and go by another id."""
        return {number for number, id in self.people.items() if later.people.get(number, id) != id}


@dataclass
class Plans:
    """Plans of named students, one of them finalized, as they stood before the summer."""

    office: Office
    folder: Path
    contents: dict[str, str] = field(default_factory=dict)

    def begin(self, numbers: Iterable[str], day: date, known: Known, staff: Sequence[Staff]) -> None:
        """The district's own people coordinate, who are above every school; the last of the staff owns the supports."""
        first = known.people[next(one.number for one in staff if one.school is None)]
        second = known.people[staff[-1].number]
        file = self.folder / "plan.json"
        with on(day):
            for number in numbers:
                file.write_text(json.dumps(_content(day, first, second)))
                made = self.office.ask(
                    "plan", "new", "--student", number, "--file", str(file), "--as", "Ottoline Farrow"
                )
                self.contents[made["id"]] = ""
            self._finalize(made["id"], known.people[number], file, day)
        self.contents = {id: self._content(id) for id in self.contents}

    def _finalize(self, id: str, student: str, file: Path, day: date) -> None:
        self.office.ask("plan", "consult", id, "--as", "Ottoline Farrow")
        talk = {
            "held_on": day.isoformat(),
            # Who is of age has the rights, until then the family: both are there.
            "participants": [
                {"who": student, "role": "student"},
                {"who": {"name": "Imre Halloway", "side": "family"}, "role": "guardian"},
            ],
            "outcome": "agreed",
        }
        content = json.loads(self._content(id)) | {"consultations": [talk]}
        file.write_text(json.dumps(content))
        self.office.ask("plan", "edit", id, "--file", str(file), "--as", "Ottoline Farrow")
        self.office.ask("plan", "finalize", id, "--as", "Ottoline Farrow")

    def _content(self, id: str) -> str:
        return self.office.tell("plan", "show", id)

    def lost(self) -> set[str]:
        """Those that are gone, or say something else than they did."""
        there = {plan["id"] for plan in self.office.ask("plan", "list")}
        return {id for id, content in self.contents.items() if id not in there or self._content(id) != content}


def _content(day: date, coordinator: str, owner: str) -> dict[str, Any]:
    return {
        "coordinator": coordinator,
        "strengths": [{"statement": "Draws maps of everything."}],
        "needs": [
            {
                "domain": "academic",
                "statement": "Loses the thread of long texts.",
                "evidence": [{"observation": "Read aloud in class.", "on": day.isoformat()}],
            }
        ],
        "goals": [
            {
                "domain": "academic",
                "statement": "Retells a chapter.",
                "addresses": ["need-1"],
                "baseline": {"measure": "retelling", "value": 1, "on": day.isoformat()},
                "targets": [{"measure": "retelling", "value": 4, "due_on": "2027-12-01"}],
            }
        ],
        "supports": [
            {
                "name": "Reading group", "kind": "tutoring", "goals": ["goal-1"], "owner": owner,
                "frequency": 2, "frequency_interval": "week", "duration_minutes": 30,
            }
        ],
    }  # fmt: skip


def of_each_fate(district: District) -> dict[str, str]:
    """A student of each thing the summer does: fate -> number."""
    year = Year(district)
    before, after = (year.on(day) for day in (date(2027, 6, 14), date(2027, 9, 15)))
    new = {one.number: one for one in after.students}
    levels = {school.number: school.level for school in district.schools}
    fates: dict[str, str] = {}
    for one in before.students:
        again = new.get(one.number)
        if again is None:
            fates["graduates" if one.grade == "12" else "leaves"] = one.number
        elif one.number in after.remade:
            fates["changes id"] = one.number
        elif again.school != one.school:
            fates["changes level" if levels[again.school] != levels[one.school] else "changes school"] = one.number
        else:
            fates["stays"] = one.number
    return fates


@dataclass(frozen=True)
class Summer:
    """How a summer went."""

    written_in_the_blackout: bool
    plans_lost: set[str]
    with_other_ids: set[str]
    returned: int


def summer(evenings: Evenings, plans: Plans, district: District, days: list[date]) -> Summer:
    """15 June to 15 September 2027 on these days, with a person who does what a person would.

    On 24 June the SIS shows no classes any more: that is held, the person asks, and sets a blackout until the new
    ones are shown on 2 August. On 16 August the secret expires; the person renews it.
    """
    office = evenings.office
    hidden, shown, expired = date(2027, 6, 24), date(2027, 8, 2), date(2027, 8, 16)
    before = Known.now(office)
    staff = [one for one in Year(district).on(shown).staff if one.number in before.people]
    plans.begin(of_each_fate(district).values(), date(2027, 6, 14), before, staff)

    evenings.pull_all(day for day in days if day < hidden)
    for held in evenings.pull(hidden):
        with on(hidden):
            office.tell("holds", "refuse", str(held.run), "--because", "The SIS hides classes until August.")
    with on(hidden):
        office.tell(
            "blackouts", "add", "--from", "2027-06-24T23:00", "--until", "2027-08-02T12:00", "--because", "Rollover."
        )
    written = office.written()
    for day in days:
        if hidden < day < shown:
            assert set(evenings.not_pulled(day, RULE)) == {"blackout"}
    quiet = office.written() == written

    evenings.pull_all(day for day in days if shown <= day < expired)
    renew(evenings, expired)
    evenings.pull_all(day for day in days if day >= expired)
    after = Known.now(office)
    return Summer(
        not quiet, plans.lost(), before.with_other_ids(after), len(before.people.keys() & after.people.keys())
    )


def renew(evenings: Evenings, day: date) -> None:
    """The other side ends the secret; the pull stops and says so; a person enters the new one."""
    for url in evenings.urls.values():
        steer(url, "PUT", "secret", {"secret": SECRET})
    evenings.not_pulled(day, CREDENTIALS)
    for name in evenings.urls:
        field = {"oneroster": "client_secret", "edfi": "secret"}[name]
        done = evenings.office.home.run(
            "connections", "change", name, "--set", f"{field}=env:RENEWED", "--json",
            district=evenings.office.district, RENEWED=SECRET,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
