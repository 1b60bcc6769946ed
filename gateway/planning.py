"""What people do with plans: begin, edit, take a step; with the roster's facts, and every act on record."""

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from gateway import clock, plans, points
from gateway.errors import ConfigError, Refused
from gateway.identity import population
from gateway.plans import Facts, GuardResult, PersonFacts, RelationshipFacts, Step
from gateway.schema.plan import PREFIX, Plan, canonical, sha256, shown, shown_items
from gateway.store import cases, reading
from gateway.store import plans as stored
from gateway.store.database import Store, Transaction
from gateway.store.plans import StoredPlan, StoredVersion
from gateway.store.registers import Actor

ADMINISTRATORS = {"principal", "district_administrator", "site_administrator"}
GUARDIANS = {"parent", "guardian", "mother", "father"}
REVIEW_IN = timedelta(days=56)
"""Default time to the first review of a plan."""
WROTE = ("created", "edited")
"""The acts of somebody who says what is in a plan."""


async def begin(store: Store, district: int, student: str, actor: Actor) -> str:
    """A new draft for a student, with what the roster knows; returns its id."""
    person = await reading.entity(store, district, "person", student)
    if person is None or population(person) != "student":
        raise ConfigError("student-unknown", "There is no such student.", "`planbridge students` shows their ids.")
    today = clock.today()
    schools = _schools(person, today)
    if not schools:
        raise Refused("student-not-enrolled", "This student is enrolled nowhere today.", missing=["/school"])
    return await create(
        store,
        district,
        {
            "student": person["id"],
            "school": schools[0],
            "period_start": today.isoformat(),
            "next_review_on": (today + REVIEW_IN).isoformat(),
        },
        actor,
    )


async def create(store: Store, district: int, content: dict[str, Any], actor: Actor) -> str:
    """Keep a plan as a draft; returns its id. ConfigError when it does not fit the schema."""
    plan = parse(content)
    id = str(uuid.uuid4())
    if await reading.entity(store, district, "person", plan.student) is None:
        raise ConfigError("student-unknown", "There is no such student.", "`planbridge students` shows their ids.")
    async with store.transaction(district) as c:
        await stored.create(c, district, id, plan.student, canonical(plan).decode(), actor)
    return id


async def edit(
    store: Store, district: int, id: str, content: dict[str, Any], actor: Actor, revision: int | None = None
) -> StoredPlan:
    """Replace a plan's content. A finalized plan gets a new draft that will amend it; its versions stay."""
    parse(content)  # what is no plan is refused before the stored one is locked
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
        before = parse(found.content)
        plan = parse(_numbered_on(await stored.followed(c, content), before.numbered))
        if revision is not None and revision != found.revision:
            raise Refused(
                "plan-changed",
                f"Somebody changed this plan meanwhile: it is at revision {found.revision}.",
                "Read it again, then repeat your change.",
            )
        if plan.student != found.student:
            raise Refused("plan-other-student", "A plan cannot be moved to another student.", missing=["/student"])
        if found.version is not None:
            known = json.loads((await stored.version(c, id)).content)
            _keep_what_was_delivered(Plan.model_validate(known), plan)
        # A number that was ever given stays given, also when its item is gone.
        numbered = {name: max(n, before.numbered.get(name, 0)) for name, n in plan.numbered.items()}
        plan = plan.model_copy(update={"numbered": before.numbered | numbered})
        state = "draft" if found.state == "finalized" else found.state
        await stored.save(c, district, found, state, canonical(plan).decode(), "edited", actor)
        return await stored.load(c, id)


def _numbered_on(content: dict[str, Any], before: dict[str, int]) -> dict[str, Any]:
    """The content as it goes on from the numbers given so far, so that a new item does not take the id of one that
    is gone. Content without a single id restates the whole plan: its items are known by their place."""
    items = [item for section in PREFIX for item in content.get(section) or ()]
    return {**content, "numbered": before} if any("id" in item for item in items) else content


def _keep_what_was_delivered(before: Plan, after: Plan) -> None:
    """What other systems know a plan by does not vanish once a version is finalized. Another first day may be given:
    what was delivered under the old one is ended there, and begun anew."""
    kept = {support.id for support in after.supports}
    missing = [f"/supports/{n}" for n, support in enumerate(before.supports) if support.id not in kept]
    if missing:
        raise Refused(
            "plan-already-known",
            "A finalized plan keeps its supports: other systems may hold them already.",
            "End a support by its status and last day.",
            missing=missing,
        )


async def take(store: Store, district: int, id: str, step: Step, actor: Actor) -> StoredPlan | StoredVersion:
    """Take a step of the plan's life. Refused names each guard that fails; nothing is changed then."""
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
        plan = parse(found.content)
        state, report = plans.step(_state(found), plan, step, await facts(store, c, district, plan, id))
        revision = await stored.save(c, district, found, state, canonical(plan).decode(), step, actor)
        if step == "consult":
            what = {"shown_sha256": sha256(shown(plan)), "items": shown_items(plan), "revision": revision}
            await stored.note(c, district, id, "shown", actor, what)
        if step == "finalize":
            return await _finalize(c, district, found, plan, report, actor)
        return await stored.load(c, id)


async def ask(store: Store, district: int, id: str, step: Step) -> list[GuardResult]:
    """What a step would say; changes nothing."""
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
        plan = parse(found.content)
        return plans.check(plan, step, await facts(store, c, district, plan, id))


async def _finalize(
    c: Transaction, district: int, found: StoredPlan, plan: Plan, report: list[GuardResult], actor: Actor
) -> StoredVersion:
    by = {name: value for name, value in vars(actor).items() if value is not None}
    made = plans.finalized(plan, datetime.now(UTC), by, report)
    version = StoredVersion(
        found.id,
        (found.version or 0) + 1,
        made.content.decode(),
        made.sha256,
        made.finalized_at.isoformat(),
        made.finalized_by,
        made.guard_report,
    )
    await stored.add_version(c, district, version, found.version)
    await points.after_finalizing(c, district, found.student)
    return version


def parse(content: dict[str, Any]) -> Plan:
    """The plan that JSON states. ConfigError names each wrong field and repeats no value."""
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"/{'/'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise ConfigError("plan-invalid", f"This is no plan: {problems}", "Correct these fields.") from None


def _state(found: StoredPlan) -> plans.State:
    assert found.state in ("draft", "consultation", "finalized")
    return found.state  # type: ignore[return-value]


async def facts(store: Store, c: Transaction, district: int, plan: Plan, id: str) -> Facts:
    """What the roster and the plan's own history say about everybody this plan names."""
    today = clock.today()
    people = {
        person["id"]: person
        for person in await reading.entities(store, district, "person", ids=sorted(set(_named(plan))))
    }
    relationships = await reading.referring(store, district, "relationship", "student", plan.student)
    results = await reading.referring(store, district, "assessment_result", "student", plan.student)
    history = await stored.events(c, id)
    return Facts(
        today=today,
        enrolled_at=frozenset(_schools(people.get(plan.student, {}), today)),
        open_identity=await cases.is_open(c, plan.student),
        people={who: _person(person, today) for who, person in people.items()},
        relationships=[_relationship(r) for r in relationships],
        results=frozenset(result["id"] for result in results),
        shown={e["detail"]["shown_sha256"]: e["detail"]["items"] for e in history if e["act"] == "shown"},
        authors=frozenset(e["actor"]["person"] for e in history if e["act"] in WROTE and "person" in e["actor"]),
    )


def _named(plan: Plan) -> Iterable[str]:
    yield plan.student
    who = [plan.coordinator, *(s.owner for s in plan.supports), *(m.who for m in plan.team)]
    who += [p.who for meeting in plan.consultations for p in meeting.participants]
    who += [plan.waiver.approved_by] if plan.waiver else []
    yield from (person for person in who if isinstance(person, str))


def _current(role: dict[str, Any], today: date) -> bool:
    begin, end = role.get("begin_on"), role.get("end_on")
    return (begin is None or begin <= today.isoformat()) and (end is None or end >= today.isoformat())


def _schools(person: dict[str, Any], today: date) -> list[str]:
    """Where somebody is a student today, the primary school first."""
    roles = [r for r in person.get("roles", ()) if r["role"] == "student" and _current(r, today)]
    return [r["organization"] for r in sorted(roles, key=lambda r: not r.get("primary", False))]


def _person(person: dict[str, Any], today: date) -> PersonFacts:
    roles = {r["role"] for r in person.get("roles", ()) if _current(r, today)}
    kind = population(person) or ""
    return PersonFacts(
        population=kind,
        active=person.get("active", True) and (bool(roles) or kind == "contact"),
        educator=kind == "staff" and bool(roles),
        administrator=bool(roles & ADMINISTRATORS),
        born=date.fromisoformat(person["birth_date"]) if "birth_date" in person else None,
    )


def _relationship(stated: dict[str, Any]) -> RelationshipFacts:
    return RelationshipFacts(
        contact=stated["contact"],
        education_rights=stated.get("education_rights", "unknown"),
        parent_or_guardian=bool(stated.get("legal_guardian")) or stated.get("relation") in GUARDIANS,
        restricted=bool(stated.get("restrictions")),
    )
