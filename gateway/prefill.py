"""What a plan is begun with: what the sources know, each value with where it comes from, and what follows from it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from gateway.fold import Stated, speakers_of
from gateway.progress import in_numbers
from gateway.resolve import Sources, by_precedence, sources_of
from gateway.schema import KINDS
from gateway.schema.roster import AT_HOME
from gateway.store import plans as stored
from gateway.store import prefills, reading, rights
from gateway.store.database import Store, Transaction
from gateway.store.prefills import Kept, Saying

REVIEW_IN = timedelta(days=56)
"""Default time to the first review of a plan."""
GUARDIANS = {"parent", "guardian", "mother", "father"}
RESULTS_OF = timedelta(days=400)
"""Results older than this are not suggested: they tell of another year."""
MOST_RESULTS = 20
PARTICIPANT = "/consultations/-/participants/-"
NUMBERS = (int, float)

Doc = dict[str, Any]


async def known(
    store: Store, c: Transaction, district: int, students: Sequence[Doc], today: date, *, school: str = ""
) -> list[list[Kept]]:
    """For each of these students (published people, enrolled today) what a plan of theirs begins with. Results are
    suggested as evidence: no need is made of one. A contact whose rights are `no`, or who is kept away, by any source
    or by the district itself, is not suggested. `school`: which of theirs is meant, where they attend several."""
    ids = [student["id"] for student in students]
    about = await prefills.about(c, ids)
    titles = await _assessments(c, about.values())
    years = await reading.entities_in(c, "session")
    sources = await sources_of(store, c, district)
    said = {
        "person": await prefills.sayings(c, "person", ids),
        **{
            kind: await prefills.sayings(c, kind, [doc["id"] for theirs in about.values() for doc in theirs[kind]])
            for kind in prefills.OF_STUDENT
        },
        "session": await prefills.sayings(c, "session", [year["id"] for year in years]),
    }
    origins = _Origins(sources, said)
    families = {id: [one["contact"] for one in about[id]["relationship"]] for id in ids}
    barred = await rights.barred(store, c, families)
    for id in ids:
        about[id]["relationship"] = [one for one in about[id]["relationship"] if one["contact"] not in barred[id]]
    return [
        _of_one(student, school or schools(student, today)[0], about[student["id"]], titles, years, origins, today)
        for student in students
    ]


async def of_plan(store: Store, district: int, plan: str) -> list[Kept]:
    """What a plan was begun with, but nobody who has no right to it by now."""
    async with store.transaction(district) as c:
        student = (await stored.load(c, plan)).student
        begun = await prefills.of_plan(c, plan)
        people = [row.value["who"] for row in begun if row.pointer == PARTICIPANT]
        barred = (await rights.barred(store, c, {student: people}))[student]
    return [row for row in begun if row.pointer != PARTICIPANT or row.value["who"] not in barred]


async def _assessments(c: Transaction, about: Iterable[Mapping[str, Sequence[Doc]]]) -> dict[str, Doc]:
    ids = {doc["assessment"] for theirs in about for doc in theirs["assessment_result"]}
    return {one["id"]: one for one in await reading.entities_in(c, "assessment", ids=sorted(ids))}


class _Origins:
    """Where a published value comes from: the connection, record and run whose word counts for it."""

    def __init__(self, sources: Sources, said: Mapping[str, Mapping[str, Sequence[Saying]]]) -> None:
        self._sources, self._said = sources, said

    def of(self, kind: str, entity: str, field: str) -> list[dict[str, Any]]:
        by_claim = {(s.connection, s.collection, s.record_key): s for s in self._said[kind].get(entity, ())}
        claims = [
            Stated(s.connection, s.collection, s.record_key, s.rank, s.anchor, s.stated, s.joined)
            for s in by_claim.values()
        ]
        if not claims:
            return []
        _, ordered = by_precedence(KINDS[kind], claims, self._sources)
        found = [
            by_claim[one.connection, one.collection, one.record_key]
            for one in speakers_of(field, ordered, self._sources.survivors.get(kind, {}))
        ]
        count = len(found) if KINDS[kind].merge.get(field) == "union" else 1
        return [
            {
                "connection": one.name,
                "record": f"{one.collection}/{one.record_key}",
                "run": one.run,
                "kind": kind,
                "field": field,
            }
            for one in found[:count]
        ]


def _of_one(
    student: Doc,
    school: str,
    about: Mapping[str, Sequence[Doc]],
    titles: Mapping[str, Doc],
    years: Sequence[Doc],
    origins: _Origins,
    today: date,
) -> list[Kept]:
    id = student["id"]
    found = [
        Kept("filled", "/student", id, origins.of("person", id, "family_name")),
        Kept("filled", "/school", school, origins.of("person", id, "roles")),
        Kept("filled", "/period_start", today.isoformat(), [_rule("the day it was begun")]),
        Kept("filled", "/next_review_on", (today + REVIEW_IN).isoformat(), [_rule("eight weeks from then")]),
    ]
    if year := _school_year(years, school, today):
        found.append(Kept("filled", "/period_end", year["end_on"], origins.of("session", year["id"], "end_on")))
    for field in ("grades", "languages"):
        if student.get(field):
            found.append(Kept("context", f"/context/{field}", student[field], origins.of("person", id, field)))
    if home := {field: student[field] for field in AT_HOME if field in student}:
        said = [one for field in home for one in origins.of("person", id, field)]
        found.append(Kept("context", "/context/at_home", home, said))
    for one in about["program_status"]:
        if current(one, today):
            value = {name: one[name] for name in ("status", "program", "begin_on", "end_on") if name in one}
            of = origins.of("program_status", one["id"], "status")
            found.append(Kept("context", "/context/program_status", value, of))
    for one in _each_once(about["relationship"]):
        of = origins.of("relationship", one["id"], "contact")
        found.append(Kept("suggested", PARTICIPANT, _participant(one), of))
    for one in _newest(about["assessment_result"], today):
        of = origins.of("assessment_result", one["id"], "scores")
        found.append(Kept("suggested", "/needs/-/evidence/-", _evidence(one, titles.get(one["assessment"], {})), of))
    return found


def _rule(because: str) -> dict[str, Any]:
    return {"rule": because}


def _school_year(years: Sequence[Doc], school: str, today: date) -> Doc | None:
    """The school year of today, the school's own before the district's."""
    now = [
        year
        for year in years
        if year.get("type") == "school_year"
        and year.get("school") in (None, school)
        and year.get("begin_on", "9") <= today.isoformat() < year.get("end_on", "")
    ]
    return min(now, key=lambda year: (year.get("school") is None, year["id"]), default=None)


def _each_once(relationships: Sequence[Doc]) -> list[Doc]:
    """Of several ties to one person the one that says most."""
    best: dict[str, Doc] = {}
    for one in sorted(relationships, key=lambda r: (r.get("education_rights") != "yes", not r.get("legal_guardian"))):
        best.setdefault(one["contact"], one)
    return sorted(best.values(), key=lambda r: (r.get("priority", 99), r["id"]))


def _participant(relationship: Doc) -> Doc:
    rights = relationship.get("education_rights", "unknown")
    guardian = relationship.get("legal_guardian") or relationship.get("relation") in GUARDIANS
    role = {"role": "guardian" if relationship.get("legal_guardian") else "parent"} if guardian else {}
    return {"who": relationship["contact"], "education_rights": rights, **role}


def _newest(results: Sequence[Doc], today: date) -> list[Doc]:
    """The newest whole result of each assessment."""
    since = (today - RESULTS_OF).isoformat()
    latest: dict[str, Doc] = {}
    for one in sorted(results, key=lambda one: (one.get("on", ""), one["id"])):
        if "parent" not in one and one.get("on", today.isoformat()) >= since and one.get("scores"):
            latest[one["assessment"]] = one
    return sorted(latest.values(), key=lambda one: one.get("on", ""), reverse=True)[:MOST_RESULTS]


def _evidence(result: Doc, assessment: Doc) -> Doc:
    told = {"title": assessment.get("title"), "purpose": assessment.get("purpose"), "on": result.get("on")}
    scores = [{"method": score["method"], "value": score["value"]} for score in result["scores"]]
    return {"assessment_result": result["id"], "scores": scores, **{k: v for k, v in told.items() if v}}


def current(stated: Doc, today: date) -> bool:
    """Whether what has a first and a last day holds today."""
    return bool(stated.get("begin_on", "") <= today.isoformat() <= stated.get("end_on", "9"))


def schools(person: Doc, today: date) -> list[str]:
    """Where somebody is a student today, the primary school first."""
    roles = [r for r in person.get("roles", ()) if r["role"] == "student" and current(r, today)]
    return [r["organization"] for r in sorted(roles, key=lambda r: not r.get("primary", False))]


# --- what follows from what a person wrote -----------------------------------------------------------------


def begun(written: Mapping[str, Any], found: Sequence[Kept], coordinator: str | None) -> tuple[Doc, list[Kept]]:
    """The document a plan is begun with: what is known, what a person wrote, and what follows from both where only one
    thing can be meant (one need, one goal, one cited result, one who begins it). What was written is never changed.
    With it, what of the document nobody wrote, and what was suggested or told."""
    plan: Doc = {row.pointer[1:]: row.value for row in found if row.use == "filled"} | dict(written)
    implied: list[Kept] = []

    def fill(place: Doc, pointer: str, field: str, value: Any, because: str) -> None:
        if value is not None and place.get(field) in (None, []):
            place[field] = value
            implied.append(Kept("filled", f"{pointer}/{field}", value, [_rule(because)]))

    needs, goals = _copies(plan, "needs"), _copies(plan, "goals")
    if plan.get("goals") or plan.get("supports"):
        fill(plan, "", "coordinator", coordinator, "who begins the plan")
    for n, goal in enumerate(goals):
        pointer = f"/goals/{n}"
        if len(needs) == 1:
            fill(goal, pointer, "domain", needs[0].get("domain"), "the plan has one need")
            fill(goal, pointer, "addresses", [needs[0].get("id", "need-1")], "the plan has one need")
        score = _one_score(needs, found) if len(goals) == 1 else None
        if score is not None and "baseline_unknown_until" not in goal:
            title, method, value, on = score
            measure = {"assessment": title, "score_method": method}
            fill(goal, pointer, "measure", measure, "the need rests on one score")
            baseline = {"measure": f"{title}, {method}", "value": value, "on": on}
            fill(goal, pointer, "baseline", baseline, "the need rests on one score")
        for m, target in enumerate(_copies(goal, "targets")):
            at = f"{pointer}/targets/{m}"
            fill(target, at, "measure", (goal.get("baseline") or {}).get("measure"), "the goal has a baseline")
            fill(target, at, "due_on", plan.get("period_end"), "the plan ends then")
    for n, support in enumerate(_copies(plan, "supports")):
        if len(goals) == 1:
            fill(support, f"/supports/{n}", "goals", [goals[0].get("id", "goal-1")], "the plan has one goal")
        fill(support, f"/supports/{n}", "owner", plan.get("coordinator"), "nobody else is named")
    stands = [row for row in found if row.use != "filled" or plan[row.pointer[1:]] == row.value]
    return plan, [*stands, *implied]


def _copies(place: Doc, section: str) -> list[Doc]:
    """The items of a section, copied so that what was given stays as it was."""
    items = place.get(section)
    if not isinstance(items, list):
        return []
    place[section] = copies = [dict(item) if isinstance(item, dict) else item for item in items]
    return [item for item in copies if isinstance(item, dict)]


def _one_score(needs: Sequence[Doc], found: Sequence[Kept]) -> tuple[str, str, int | float, str] | None:
    """Title, method, value and day of the one numeric score that the needs rest on."""
    cited = [
        evidence.get("assessment_result")
        for need in needs
        for evidence in need.get("evidence") or ()
        if isinstance(evidence, dict)
    ]
    if len(cited) != 1:
        return None
    for row in found:
        if row.pointer == "/needs/-/evidence/-" and row.value["assessment_result"] == cited[0]:
            read = [(one["method"], in_numbers(one["value"])) for one in row.value["scores"]]
            numbers = [(method, value) for method, value in read if isinstance(value, NUMBERS)]
            if len(numbers) == 1 and "on" in row.value and "title" in row.value:
                method, value = numbers[0]
                assert isinstance(value, NUMBERS)
                return row.value["title"], method, value, row.value["on"]
    return None
