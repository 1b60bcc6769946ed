"""Many plans at once: each is taken in as a draft, or rejected with every place that is wrong; none comes twice."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pydantic import ValidationError

from gateway import authoring, clock, planning, prefill
from gateway.errors import ConfigError, PlanbridgeError
from gateway.identity import population
from gateway.plan_template import Given
from gateway.plan_template import read as from_csv
from gateway.schema.plan import Plan
from gateway.store import intake as stored
from gateway.store import reading
from gateway.store.database import Store
from gateway.store.prefills import Kept
from gateway.store.registers import Actor, log_act

MOST_PLANS = 5_000
ABREAST = 100
"""Of how many students the sources are asked at once."""
NOBODY = "00000000-0000-4000-8000-000000000000"
"""Stands in for a student who is not known, so that the rest of the plan is looked at too."""
OWN_ID = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a plan that was handed in. `row`: of the file, or the plan's place in the list,
    from one on; `field`: a column, or a JSON pointer into the plan."""

    row: int
    plan: str
    field: str
    reason: str
    code: str


@dataclass
class Taken:
    """What became of plans that were handed in: own id -> our id of those that are drafts now, and of those that were
    taken in before; what is wrong with the others, of each at least one line."""

    drafts: dict[str, str] = field(default_factory=dict)
    unchanged: dict[str, str] = field(default_factory=dict)
    rejected: int = 0
    faults: list[Fault] = field(default_factory=list)


def read(content: bytes, *, as_csv: bool) -> list[Given]:
    """The plans of a file: the template as CSV, or JSON as `{"plans": [{"id": ..., "plan": {...}}]}`, each plan by the
    published schema. ConfigError where it is neither."""
    try:
        text = content.decode("utf-8-sig")
        if as_csv:
            return _bounded(from_csv(text))
        listed = json.loads(text)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ConfigError(
            "import-unreadable", "The file is neither UTF-8 CSV nor JSON.", "Save it as UTF-8 and try again."
        ) from None
    plans = listed.get("plans") if isinstance(listed, dict) else None
    if not isinstance(plans, list) or not all(isinstance(one, dict) for one in plans):
        raise ConfigError(
            "import-unreadable",
            "The file holds no list of plans.",
            'Write {"plans": [{"id": "your own id", "plan": {...}}]}; `planbridge plan schema` says what a plan is.',
        )
    return _bounded([one_of(row, one) for row, one in enumerate(plans, 1)])


def one_of(row: int, given: Mapping[str, Any]) -> Given:
    """A plan of a JSON list. Instead of the student's entity id their number may be given beside the plan."""
    own, plan, number = given.get("id"), given.get("plan"), given.get("student_number")
    made = Given(own if isinstance(own, str) else "", row)
    if isinstance(plan, dict):
        made.content = dict(plan)
    else:
        made.faults.append((row, "/plan", "Give the plan here."))
    if isinstance(number, str):
        made.numbers["/student"] = number
    for name in sorted(given.keys() - {"id", "plan", "student_number"})[:1]:
        made.faults.append((row, f"/{name}" if _NAME.fullmatch(name) else "", "There is no such field."))
    return made


def _bounded(given: list[Given]) -> list[Given]:
    if not 0 < len(given) <= MOST_PLANS:
        raise ConfigError(
            "import-size", f"A file holds 1 to {MOST_PLANS} plans; this one has {len(given)}.", "Divide it."
        )
    return given


async def take(
    store: Store,
    district: int,
    given: Sequence[Given],
    actor: Actor,
    caller: str = "",
    *,
    by_program: bool = False,
    reached: frozenset[str] | None = None,
) -> Taken:
    """Take in plans. What came from this caller under the same id before is not taken in again, and stays as it is;
    what comes under it now and is something else is rejected. `by_program`: the actor's person must be an educator of
    each student, and these are among `reached` unless that is None. One plan's fault is no other plan's."""
    done = Taken()
    twice = {own for own, n in Counter(one.own_id for one in given).items() if n > 1}
    async with store.transaction(district) as c:
        people = await stored.numbered(c, sorted({number for one in given for number in one.numbers.values()}))
        before = await stored.known(c, caller, [one.own_id for one in given])
    if reached is not None:  # whom the agreement does not reach has no number either
        people = {
            number: [one for one in those if population(one) != "student" or one["id"] in reached]
            for number, those in people.items()
        }
    for first in range(0, len(given), ABREAST):
        some = given[first : first + ABREAST]
        fresh: list[_Draft] = []
        for one in some:
            fingerprint = _fingerprint(one)
            came = before.get(one.own_id)
            if came is not None and came.sha256 == fingerprint and one.own_id not in twice:
                done.unchanged[one.own_id] = came.plan
                continue
            draft = _Draft(one, fingerprint, list(_readable(one, twice, known_before=came is not None)))
            _name(draft, people)
            fresh.append(draft)
        await _fill(store, district, fresh, actor, reached)
        for draft in fresh:
            await _take_one(store, district, draft, actor, caller, by_program, done)
    async with store.transaction(district) as c:
        told = {"drafts": len(done.drafts), "unchanged": len(done.unchanged), "rejected": done.rejected}
        await log_act(c, district, actor, "plan-import", caller, told)
    return done


@dataclass
class _Draft:
    """A plan on its way in. `plan` is there once nothing is wrong with it."""

    given: Given
    sha256: str
    faults: list[Fault]
    student: str = NOBODY
    plan: Plan | None = None
    known: Sequence[Kept] = ()

    def fault(self, pointer: str, reason: str, code: str) -> None:
        row, column = self.given.row, pointer
        if self.given.places:
            # what is missing stands nowhere: then the row in which it would stand
            parts = pointer.split("/")
            at = next((p for n in range(len(parts), 0, -1) if (p := "/".join(parts[:n])) in self.given.places), "")
            row, column = self.given.places.get(at, (row, ""))
            column = column or parts[-1]
        self.faults.append(Fault(row, self.given.own_id, column, reason, code))


def _fingerprint(one: Given) -> str:
    said = {"content": one.content, "numbers": one.numbers, "faults": one.faults}
    return sha256(json.dumps(said, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _readable(one: Given, twice: set[str], *, known_before: bool) -> Iterator[Fault]:
    """What is wrong with a plan before anybody looks at what it says."""
    for row, place, reason in one.faults:
        yield Fault(row, one.own_id, place, reason, "import-row")
    id = "plan_id" if one.places else "/id"
    if not OWN_ID.fullmatch(one.own_id):
        yield Fault(one.row, "", id, "Give the id under which you know the plan: 1 to 200 characters.", "import-id")
    elif one.own_id in twice:
        yield Fault(one.row, one.own_id, id, "Two plans have this id.", "import-id")
    elif known_before:
        reason = "A plan that said something else came under this id before: edit that one, or give another id."
        yield Fault(one.row, one.own_id, id, reason, "import-differs")


def _name(draft: _Draft, people: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """Put people in the place of their numbers. A number that several have means nobody."""
    for pointer, number in draft.given.numbers.items():
        who = "student" if pointer == "/student" else "staff"
        found = [one for one in people.get(number, ()) if population(one) == who]
        if len(found) != 1:
            several = "Several people have this number." if found else f"There is no such number of a {who}."
            kind = "several" if found else "unknown"
            code = {
                "student several": "student-ambiguous",
                "student unknown": "student-unknown",
                "staff several": "staff-ambiguous",
                "staff unknown": "staff-unknown",
            }
            draft.fault(pointer, several, code[f"{who} {kind}"])
            continue
        whole: Any = draft.given.content
        *way, last = pointer[1:].split("/")
        for step in way:
            whole = whole[int(step) if step.isdigit() else step]
        whole[last] = found[0]["id"]


async def _fill(
    store: Store, district: int, drafts: Sequence[_Draft], actor: Actor, reached: frozenset[str] | None
) -> None:
    """Add what the sources know of each student, as to any plan that is begun, and read it by the schema."""
    ids = {id for one in drafts if isinstance(id := one.given.content.get("student"), str) and _UUID.fullmatch(id)}
    # one by one: whoever was merged is found under the id that stands today
    found = {id.lower(): one for id in ids if (one := await reading.entity(store, district, "person", id))}
    if reached is not None:
        found = {id: one for id, one in found.items() if one["id"] in reached}
    today = clock.today()
    students = {
        one["id"]: one for one in found.values() if population(one) == "student" and prefill.schools(one, today)
    }
    known: dict[str, list[Kept]] = {}
    if students:
        async with store.transaction(district) as c:
            rows = await prefill.known(store, c, district, list(students.values()), today)
        known = dict(zip(students, rows, strict=True))
    for draft in drafts:
        person = found.get(str(draft.given.content.get("student", "")).lower())
        id = person["id"] if person else ""
        if id not in students and not any(one.code.startswith("student-") for one in draft.faults):
            draft.fault("/student", *_NOT_TO_BE_PLANNED_FOR[person is not None and population(person) == "student"])
        draft.student = id if id in students else NOBODY
        written = draft.given.content | {"student": draft.student}
        if draft.student == NOBODY:
            written.setdefault("school", NOBODY)
            written.setdefault("period_start", today.isoformat())
        try:
            content, draft.known = prefill.begun(written, known.get(draft.student, ()), actor.person)
            draft.plan = Plan.model_validate(content)
        except ValidationError as error:
            for wrong in error.errors(include_input=False, include_url=False, include_context=False):
                draft.fault(_pointer(wrong["loc"]), wrong["msg"].removeprefix("Value error, "), "plan-invalid")


_NOT_TO_BE_PLANNED_FOR = {
    True: ("This student is enrolled nowhere today.", "student-not-enrolled"),
    False: ("There is no such student.", "student-unknown"),
}
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
# Other names in a place are pydantic's word for a choice, or one that the caller made up, which may be anything.
_NAME = re.compile(r"[a-z][a-z_]{0,40}")


def _pointer(location: Sequence[int | str]) -> str:
    return "".join(f"/{part}" for part in location if isinstance(part, int) or _NAME.fullmatch(part))


async def _take_one(
    store: Store, district: int, draft: _Draft, actor: Actor, caller: str, by_program: bool, done: Taken
) -> None:
    """Make a draft of it, together with the line under which id it came; or reject it."""
    own = draft.given.own_id
    if by_program and draft.student != NOBODY:
        try:
            await authoring.may_write(store, district, draft.student, actor)
        except PlanbridgeError as refused:
            draft.faults.append(Fault(draft.given.row, own, "", refused.message, refused.code))
    if draft.faults or draft.plan is None:
        done.rejected += 1
        done.faults += draft.faults
        return
    try:
        async with store.transaction(district) as c:
            plan = await planning.create_in(c, district, draft.plan, actor, draft.known)
            if not await stored.keep(c, district, caller, own, plan, draft.sha256):
                raise _CameMeanwhile
        done.drafts[own] = plan
    except _CameMeanwhile:
        async with store.transaction(district) as c:
            came = (await stored.known(c, caller, [own]))[own]
        if came.sha256 == draft.sha256:
            done.unchanged[own] = came.plan
        else:
            done.rejected += 1
            done.faults += _readable(draft.given, set(), known_before=True)


class _CameMeanwhile(Exception):
    """Somebody else took in a plan under this id a moment ago."""
