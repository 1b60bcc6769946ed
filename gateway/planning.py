"""What people do with plans: begin, edit, take a step; with the roster's facts, and every act on record."""

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, get_args

from pydantic import ValidationError

from gateway import clock, plan_events, plans, points, prefill
from gateway.access import ADMINISTRATORS
from gateway.errors import ConfigError, Refused
from gateway.identity import population
from gateway.plan_events import Told
from gateway.plan_guards import TEMPLATED
from gateway.plans import Facts, Given, GuardResult, Life, PersonFacts, RelationshipFacts, Step
from gateway.schema.codes import iso
from gateway.schema.plan import PREFIX, Plan, canonical, sha256, shown, shown_items
from gateway.store import attention, cases, consents, prefills, reading, standing, withdrawals
from gateway.store import plans as stored
from gateway.store.database import Store, Transaction
from gateway.store.plans import Placed, StoredPlan, StoredVersion
from gateway.store.prefills import Kept
from gateway.store.registers import Actor

WROTE = ("created", "edited")
"""The acts of somebody who says what is in a plan."""
NOTHING = Given()
PLANBRIDGE = Actor("Planbridge", "system")
"""Takes the steps that time takes."""


async def begin(
    store: Store,
    district: int,
    student: str,
    actor: Actor,
    written: dict[str, Any] | None = None,
    *,
    gathering: bool = False,
) -> str:
    """A new draft for a student, with what the sources know, what somebody wrote, and what follows from both; returns
    its id. Where each value comes from is kept beside it."""
    today = clock.today()
    async with store.transaction(district) as c:
        person = await reading.entity_in(c, "person", student)
        if person is None or population(person) != "student":
            raise ConfigError("student-unknown", "There is no such student.", "`planbridge students` shows their ids.")
        if not prefill.schools(person, today):
            raise Refused("student-not-enrolled", "This student is enrolled nowhere today.", missing=["/school"])
        [found] = await prefill.known(store, c, district, [person], today)
    content, known = prefill.begun(written or {}, found, actor.person)
    if content["student"] != person["id"]:
        raise Refused("plan-other-student", "The plan that was written is another student's.", missing=["/student"])
    return await create(store, district, content, actor, known, gathering=gathering)


async def create(
    store: Store,
    district: int,
    content: dict[str, Any],
    actor: Actor,
    known: Sequence[Kept] = (),
    *,
    gathering: bool = False,
) -> str:
    """Keep a plan as a draft; returns its id. `known`: what of it the sources said, or might say. `gathering`: only
    what is known is being brought together, nobody has begun to write. ConfigError when it does not fit the schema."""
    plan = parse(content)
    async with store.transaction(district) as c:
        if await reading.entity_in(c, "person", plan.student) is None:
            raise ConfigError("student-unknown", "There is no such student.", "`planbridge students` shows their ids.")
        return await create_in(c, district, plan, actor, known, gathering=gathering)


async def create_in(
    c: Transaction,
    district: int,
    plan: Plan,
    actor: Actor,
    known: Sequence[Kept] = (),
    *,
    gathering: bool = False,
) -> str:
    """The same in the caller's transaction, of a student who is known to be there."""
    id = str(uuid.uuid4())
    state = "gathering" if gathering else "draft"
    await _refuse_stranger(c, plan, None)
    await stored.create(c, district, id, plan.student, canonical(plan).decode(), actor, state)
    await prefills.keep(c, district, id, known, clock.now())
    return id


async def edit(
    store: Store, district: int, id: str, content: dict[str, Any], actor: Actor, revision: int | None = None
) -> StoredPlan:
    """Replace a plan's content. A plan in force gets a new draft that will amend it; its versions stay, and the newest
    one stands as it did. Refused when the plan is over."""
    parse(content)  # what is no plan is refused before the stored one is locked
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
        life = _life(found).edited()
        before = parse(found.content)
        plan = parse(_numbered_on(await stored.followed(c, content), before.numbered))
        _refuse_changed(found, revision)
        await _refuse_stranger(c, plan, before.coordinator)
        if plan.student != found.student:
            raise Refused("plan-other-student", "A plan cannot be moved to another student.", missing=["/student"])
        if found.version is not None:
            known = json.loads((await stored.version(c, id)).content)
            _keep_what_was_delivered(Plan.model_validate(known), plan)
        # A number that was ever given stays given, also when its item is gone.
        numbered = {name: max(n, before.numbered.get(name, 0)) for name, n in plan.numbered.items()}
        plan = _looked_at(before, plan.model_copy(update={"numbered": before.numbered | numbered}))
        await _keep(c, district, found, life, plan, "edited", actor)
        return await stored.load(c, id)


async def _refuse_stranger(c: Transaction, plan: Plan, before: str | None) -> None:
    """Who is named as coordinator works at the plan's school, or above it, on that day. Whoever stood there before may
    stay until somebody else is named: what waits for that is listed."""
    if plan.coordinator is None or plan.coordinator == before:
        return
    person = await reading.entity_in(c, "person", plan.coordinator)
    if person is not None and not _at(person, clock.today()) & await _reach(c, plan):
        raise Refused(
            "coordinator-elsewhere",
            "Whoever is to coordinate has no role at the plan's school, nor above it, today.",
            "Name somebody of the school; where the student moved, name the new school too.",
            missing=["/coordinator"],
        )


def _refuse_changed(found: StoredPlan, revision: int | None) -> None:
    if revision is not None and revision != found.revision:
        raise Refused(
            "plan-changed",
            f"Somebody changed this plan meanwhile: it is at revision {found.revision}.",
            "Read it again, then repeat your change.",
        )


def _looked_at(before: Plan, after: Plan) -> Plan:
    """The plan in which no item is marked as a template's that somebody has just changed."""
    sections = {}
    for section in TEMPLATED:
        known = {item.id: item for item in getattr(before, section)}
        items = getattr(after, section)
        sections[section] = [
            item.model_copy(update={"template": None})
            if item.template and known.get(item.id, item) != item and known[item.id].template
            else item
            for item in items
        ]
    return after.model_copy(update=sections)


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


async def take(
    store: Store,
    district: int,
    id: str,
    step: Step,
    actor: Actor,
    given: Given = NOTHING,
    revision: int | None = None,
) -> StoredPlan | StoredVersion:
    """Take a step of the plan's life. Refused names each guard that fails; nothing is changed then."""
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
        _refuse_changed(found, revision)
        return await _step(store, c, district, found, step, actor, given)


async def _step(
    store: Store, c: Transaction, district: int, found: StoredPlan, step: Step, actor: Actor, given: Given
) -> StoredPlan | StoredVersion:
    life, plan = _life(found), parse(found.content)
    judged = await _judged(c, found, plan, step)
    known = await facts(store, c, judged, found.id, given)
    _, report = plans.step(life.at(step), judged, step, known)
    detail: dict[str, Any] = {name: value for name, value in vars(given).items() if value}
    if step == "review" and judged.next_review_on:
        detail["on"] = min(known.today, judged.next_review_on).isoformat()
    if step == "finalize":
        return await _finalize(c, district, found, plan, report, actor)
    if step in ("revoke", "void"):
        detail["retract"] = await stored.holders(c, found.id)
        await withdrawals.look_soon(c, district)
    revision = await _keep(c, district, found, life.after(step), plan, step, actor, detail)
    if step == "consult":
        what = {"shown_sha256": sha256(shown(plan)), "items": shown_items(plan), "revision": revision}
        await stored.note(c, district, found.id, "shown", actor, what)
    return await stored.load(c, found.id)


async def _judged(c: Transaction, found: StoredPlan, plan: Plan, step: Step) -> Plan:
    """What a step is about: the newest version as it stands, or what is being written."""
    if step not in plans.OF_VERSION or found.version is None:
        return plan
    return await _standing(c, found, plan)


async def _standing(c: Transaction, found: StoredPlan, plan: Plan) -> Plan:
    version = json.loads((await stored.version(c, found.id)).content)
    return plans.standing(parse(await stored.followed(c, version)), plan)


async def _keep(
    c: Transaction,
    district: int,
    found: StoredPlan,
    life: Life,
    plan: Plan,
    act: str,
    actor: Actor,
    detail: dict[str, Any] | None = None,
) -> int:
    due = None
    if life.standing:
        due = plans.due_on(life.standing, plan if act == "finalize" else await _standing(c, found, plan))
    placed = Placed(life.state, life.standing, due, (detail or {}).get("outcome"))
    return await stored.save(c, district, found, placed, canonical(plan).decode(), act, actor, detail or {})


async def ask(store: Store, district: int, id: str, step: Step, given: Given = NOTHING) -> list[GuardResult]:
    """What a step would say; changes nothing."""
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
        plan = await _judged(c, found, parse(found.content), step)
        report = plans.check(plan, step, await facts(store, c, plan, id, given))
        try:
            plans.refuse_from(_life(found).at(step), step)
        except Refused as refused:
            report.append(GuardResult(refused.code, False, f"{refused.message} {refused.fix}"))
        return report


async def review(
    store: Store, district: int, id: str, held: dict[str, Any], actor: Actor, revision: int | None = None
) -> StoredPlan:
    """Keep a review of a plan in force: how far its goals have come, and when the next one is. It begins no new
    version; whether the plan goes on as it is, is a step of its own."""
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
        _refuse_changed(found, revision)
        life = _life(found)
        if life.standing not in plans.RUNNING:
            raise Refused(
                "plan-not-running",
                "Only a plan that has begun and is not over can be reviewed.",
                "Wait for its first day.",
            )
        goals = [dict(goal) for goal in found.content.get("goals", ())]
        reached = {one.get("goal"): one.get("achievement") for one in held.get("per_goal", ())}
        if unknown := reached.keys() - {goal["id"] for goal in goals}:
            raise ConfigError(
                "plan-invalid", f"This plan has no goal of the id {min(map(str, unknown))[:20]}.", "Correct it."
            )
        for goal in goals:
            goal["achievement"] = reached.get(goal["id"], goal["achievement"])
        content = {**found.content, "goals": goals, "reviews": [*found.content.get("reviews", ()), held]}
        if life.state == life.standing and held.get("next_review_on"):
            content["next_review_on"] = held["next_review_on"]
        await _keep(c, district, found, life, parse(content), "reviewed", actor)
        return await stored.load(c, id)


async def pass_time(store: Store, district: int, id: str) -> None:
    """Take the steps that time alone takes with a plan today; what waits for people too long is noted, once."""
    async with store.transaction(district) as c:
        while True:
            found = await stored.load(c, id)
            if found.version is None:
                return
            standing, today = await _standing(c, found, parse(found.content)), clock.today()
            state = _life(found).standing
            step = plans.by_time(state, standing, today)
            if step is None:
                break
            await _step(store, c, district, found, step, PLANBRIDGE, NOTHING)
        if plans.is_overdue(state, standing, today):
            due = standing.next_review_on
            await stored.note(c, district, id, "overdue", PLANBRIDGE, {"review": due.isoformat() if due else None})
            await stored.note_not_due(c, id)


async def history(store: Store, district: int, id: str) -> list[dict[str, Any]]:
    """Every act upon a plan, oldest first, with its number."""
    async with store.transaction(district) as c:
        await stored.load(c, id)
        return await stored.events(c, id)


async def at(store: Store, district: int, id: str, moment: int | date) -> Told:
    """A plan as it was after the act of that number, or at the end of that day (UTC). Refused where that was before it
    began, or before acts kept what they changed."""
    events = await history(store, district, id)
    if isinstance(moment, date):
        return plan_events.told(event for event in events if event["at"].astimezone(UTC).date() <= moment)
    return plan_events.told(event for event in events if event["seq"] <= moment)


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
    await _keep(
        c, district, found, _life(found).after("finalize"), plan, "finalize", actor, {"version": version.version}
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


def _life(found: StoredPlan) -> Life:
    assert found.state in get_args(plans.State)
    return Life(found.state, found.standing)  # type: ignore[arg-type]


async def facts(store: Store, c: Transaction, plan: Plan, id: str, given: Given = NOTHING) -> Facts:
    """What the roster and the plan's own history say about everybody this plan names."""
    today = clock.today()
    people = {person["id"]: person for person in await reading.entities_in(c, "person", ids=sorted(set(_named(plan))))}
    relationships = await reading.referring_in(c, "relationship", "student", plan.student)
    results = await reading.referring_in(c, "assessment_result", "student", plan.student)
    programs = await reading.referring_in(c, "program_status", "student", plan.student)
    history = await stored.events(c, id)
    reviews = [e["detail"]["on"] for e in history if e["act"] == "review" and "on" in e["detail"]]
    tied = [relationship(r) for r in relationships]
    barred = await kept_away(store, c, plan.student, sorted(people.keys() | {r.contact for r in tied}))
    return Facts(
        today=today,
        enrolled_at=frozenset(prefill.schools(people.get(plan.student, {}), today)),
        reach=await _reach(c, plan),
        open_identity=await cases.is_open(c, plan.student),
        people={who: _person(person, today) for who, person in people.items()},
        relationships=[*tied, *barred],
        results=frozenset(result["id"] for result in results),
        shown={e["detail"]["shown_sha256"]: e["detail"]["items"] for e in history if e["act"] == "shown"},
        authors=_authors([e["actor"] for e in history if e["act"] in WROTE], people),
        programs=frozenset(one["status"] for one in programs if prefill.current(one, today)),
        consents=await consents.references(c, plan.student, today),
        in_review_since=date.fromisoformat(reviews[-1]) if reviews else None,
        given=given,
    )


def _authors(actors: Sequence[dict[str, Any]], people: dict[str, dict[str, Any]]) -> frozenset[str]:
    """Who wrote the plan. At the command line somebody is known by their name alone: whoever of these people has it is
    taken for its author, as nobody may waive the consultation for a plan of their own."""
    names = {" ".join(actor["name"].casefold().split()) for actor in actors}
    same = {
        who
        for who, one in people.items()
        if " ".join(f"{one.get('given_name', '')} {one.get('family_name', '')}".casefold().split()) in names
    }
    return frozenset(actor["person"] for actor in actors if "person" in actor) | same


async def kept_away(store: Store, c: Transaction, student: str, people: Sequence[str]) -> list[RelationshipFacts]:
    """The district's own word about these people. It stands beside what the sources say: a `no` from anybody wins."""
    barred = await standing.restricted(store, c, student, people)
    return [RelationshipFacts(who, "no", parent_or_guardian=False, restricted=True) for who in sorted(barred)]


def _named(plan: Plan) -> Iterable[str]:
    yield plan.student
    who = [plan.coordinator, *(s.owner for s in plan.supports), *(m.who for m in plan.team)]
    who += [p.who for meeting in plan.consultations for p in meeting.participants]
    who += [plan.waiver.approved_by] if plan.waiver else []
    yield from (person for person in who if isinstance(person, str))


def _person(person: dict[str, Any], today: date) -> PersonFacts:
    roles = {r["role"] for r in person.get("roles", ()) if prefill.current(r, today)}
    kind = population(person) or ""
    return PersonFacts(
        population=kind,
        active=person.get("active", True) and (bool(roles) or kind == "contact"),
        educator=kind == "staff" and bool(roles),
        administrator=bool(roles & ADMINISTRATORS),
        born=date.fromisoformat(person["birth_date"]) if "birth_date" in person else None,
        languages=tuple(iso(word) for word in person.get("languages", ())),
        at=_at(person, today),
    )


def _at(person: dict[str, Any], today: date) -> frozenset[str]:
    return frozenset(role["organization"] for role in person.get("roles", ()) if prefill.current(role, today))


async def _reach(c: Transaction, plan: Plan) -> frozenset[str]:
    return (await attention.above(c)).get(plan.school, frozenset({plan.school}))


def relationship(stated: dict[str, Any]) -> RelationshipFacts:
    return RelationshipFacts(
        contact=stated["contact"],
        education_rights=stated.get("education_rights", "unknown"),
        parent_or_guardian=bool(stated.get("legal_guardian")) or stated.get("relation") in prefill.GUARDIANS,
        restricted=bool(stated.get("restrictions")),
    )
