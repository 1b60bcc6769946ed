"""What an agreement reaches: by set-based SQL the same as by a plain reading of its rule, and what comes and goes."""

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from gateway import clock, served
from gateway.store import consents, reach, vendors
from gateway.store.consents import Given
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.vendors import Rule, Terms
from tests.store.served_rows import Roster, Row, agreed, family, link, serve, terms

TODAY = clock.today()
DAY = timedelta(days=1)
BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
Reached = set[tuple[str, str]]


class World:
    """A small random district, and one reading of what a rule means by it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.rows: Roster = {name: {} for name in served.COLLECTIONS}
        top = self.add("orgs", name="Fennel County", type="district")
        self.schools = [self.add("orgs", name=f"School {n}", type="school", parent=link(top)) for n in range(3)]
        self.add("academicSessions", title="Year", type="schoolYear")
        self.add("categories", title="Homework")
        courses = [
            self.add("courses", title=f"Course {n}", courseCode=f"C{n}", org=link(chance.choice([top, *self.schools])))
            for n in range(4)
        ]
        self.classes = [
            self.add(
                "classes",
                title=f"Class {n}",
                school=link(chance.choice(self.schools)),
                course=link(chance.choice(courses)),
                subjects=chance.sample(["Reading", "Math"], chance.randint(0, 1)),
                subjectCodes=chance.sample(["01001", "02001"], chance.randint(0, 1)),
                **self.maybe(grades=[chance.choice(["03", "04"])]),
            )
            for n in range(6)
        ]
        self.students = [self.person("student", grades=[chance.choice(["03", "04"])]) for _ in range(8)]
        self.staff = [self.person(chance.choice(["teacher", "principal"])) for _ in range(4)]
        self.contacts = [self.person("parent") for _ in range(3)]
        self.family = {(chance.choice(self.students), contact) for contact in self.contacts}
        for person in (*self.students, *self.students, *self.staff):
            self.add(
                "enrollments",
                user=link(person),
                **{"class": link(chance.choice(self.classes))},
                role="student" if person in self.students else "teacher",
                **self.maybe(endDate=(TODAY + chance.choice([-DAY, DAY])).isoformat()),
            )
        items = [self.add("lineItems", title="Essay", **{"class": link(one)}) for one in self.classes]
        tests = [
            self.add("assessmentLineItems", title="Test", **self.maybe(**{"class": link(chance.choice(self.classes))}))
            for _ in range(4)
        ]
        self.add("scoreScales", title="Scale", **{"class": link(chance.choice(self.classes))})
        for student in self.students:
            self.add("demographics", id=student, sex="female")
            self.add("results", student=link(student), lineItem=link(chance.choice(items)))
            self.add("assessmentResults", student=link(student), assessmentLineItem=link(chance.choice(tests)))

    def add(self, collection: str, id: str = "", **record: Any) -> str:
        id = id or str(uuid.UUID(int=self.chance.getrandbits(128)))
        self.rows[collection][id] = record
        return id

    def maybe(self, **record: Any) -> Row:
        return record if self.chance.random() < 0.5 else {}

    def person(self, role: str, **record: Any) -> str:
        roles = [
            {"role": role, "roleType": "primary", "org": link(school)}
            | self.maybe(endDate=(TODAY + self.chance.choice([-DAY, DAY])).isoformat())
            for school in self.chance.sample(self.schools, self.chance.randint(1, 2))
        ]
        return self.add("users", givenName="Maud", familyName="Pettifer", roles=roles, **record)

    def terms(self) -> Terms:
        def some(of: list[str]) -> frozenset[str] | None:
            return None if self.chance.random() < 0.5 else frozenset(self.chance.sample(of, min(2, len(of))))

        by_class = {
            "classes": some(self.classes),
            "subjects": some(["reading", "02001"]),
            "courses": some(["C1", "C2"]),
        }
        rule = Rule(
            schools=some(self.schools),
            grades=some(["03", "04", "05"]),
            **by_class,
            only_classes=any(by_class.values()) and self.chance.random() < 0.5,
            people=frozenset(self.chance.sample(["student", "staff", "contact"], 2)),  # type: ignore[arg-type]
        )
        named = self.chance.sample(list(served.COLLECTIONS), 12)
        basis = self.chance.choice(["school_official", "directory"])
        if basis == "directory":
            named = [one for one in named if one not in ("demographics", "results", "assessmentResults")]
        return terms(rule=rule, collections=dict.fromkeys(named), basis=basis)

    def reached(self, terms: Terms, opted: set[str], denied: set[str]) -> Reached:
        rule, rows = terms.rule, self.rows
        place = set(rows["orgs"]) if rule.schools is None else set(rule.schools)
        above = place | {
            one["parent"]["sourcedId"] for id, one in rows["orgs"].items() if id in place & {*self.schools}
        }

        def in_rule(id: str, one: Row) -> bool:
            if one["school"]["sourcedId"] not in place:
                return False
            if rule.grades is not None and one.get("grades") and not rule.grades & set(one["grades"]):
                return False
            if rule.classes is None and rule.subjects is None and rule.courses is None:
                return True
            words = {word.lower() for word in (*one["subjects"], *one["subjectCodes"])}
            code = rows["courses"].get(one["course"]["sourcedId"], {}).get("courseCode")
            return id in (rule.classes or ()) or bool(words & (rule.subjects or set())) or code in (rule.courses or ())

        classes = {id for id, one in rows["classes"].items() if in_rule(id, one)}
        now = {
            (one["user"]["sourcedId"], one["role"])
            for one in rows["enrollments"].values()
            if one["class"]["sourcedId"] in classes and one.get("endDate", "9") >= TODAY.isoformat()
        }
        child, staff = set(), set()
        for id, one in rows["users"].items():
            for role in one["roles"]:
                at, is_ = role["org"]["sourcedId"], role["role"]
                if role.get("endDate", "9") < TODAY.isoformat():
                    continue
                if is_ == "student" and at in place and (rule.grades is None or rule.grades & set(one["grades"])):
                    child |= {id} if not rule.only_classes or (id, "student") in now else set()
                elif is_ in ("teacher", "principal"):
                    staff |= {id} if (id, "teacher") in now or (not rule.only_classes and at in above) else set()
        child -= denied | (opted if terms.basis == "directory" else set())
        child = child if "student" in rule.people else set()
        staff = staff if "staff" in rule.people else set()
        contact = {two for one, two in self.family if one in child and "contact" in rule.people}
        return {
            (name, id)
            for name in terms.collections
            for id, one in rows[name].items()
            if self._in(name, id, one, classes, above, child, child | staff | contact, rule)
        }

    def _in(
        self, name: str, id: str, one: Row, classes: set[str], above: set[str], child: set[str], people: set[str],
        rule: Rule,
    ) -> bool:  # fmt: skip
        def of(field: str, among: set[str], missing: bool = False) -> bool:
            return one[field]["sourcedId"] in among if field in one else missing

        items = {id for id, one in self.rows["lineItems"].items() if one["class"]["sourcedId"] in classes}
        tests = {
            id
            for id, one in self.rows["assessmentLineItems"].items()
            if "class" not in one or one["class"]["sourcedId"] in classes
        }
        if name == "courses":
            by_class = rule.classes is not None or rule.subjects is not None or rule.courses is not None
            taught = {self.rows["classes"][one]["course"]["sourcedId"] for one in classes}
            return id in taught or (not by_class and of("org", above))
        return {
            "orgs": lambda: id in above,
            "classes": lambda: id in classes,
            "users": lambda: id in people,
            "demographics": lambda: id in child,
            "enrollments": lambda: of("class", classes) and of("user", people),
            "lineItems": lambda: id in items,
            "results": lambda: of("lineItem", items) and of("student", child),
            "scoreScales": lambda: of("class", classes, True),
            "assessmentLineItems": lambda: id in tests,
            "assessmentResults": lambda: of("assessmentLineItem", tests) and of("student", child),
        }.get(name, lambda: True)()


async def seen(store: Store, district: int, agreement: int, *, visible: bool = True) -> Reached:
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT collection, sourced_id FROM reach WHERE agreement_id = :id AND visible = :visible "
                "AND collection <> 'students'"
            ),
            {"id": agreement, "visible": visible},
        )
        return {(row.collection, row.sourced_id) for row in rows}


async def moved(store: Store, district: int, agreement: int) -> Reached:
    """What changed since the rows were last put back in time."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT collection, sourced_id FROM reach WHERE agreement_id = :id AND at > :before "
                "AND collection <> 'students'"
            ),
            {"id": agreement, "before": BEFORE},
        )
        return {(row.collection, row.sourced_id) for row in rows}


@pytest.mark.parametrize("seed", range(6))
async def test_the_rule_is_read_alike_and_who_leaves_is_told(
    store: Store, district: int, actor: Actor, seed: int
) -> None:
    chance = random.Random(seed)
    world, opted, denied = World(chance), set[str](), set[str]()
    async with store.transaction(district) as c:
        await serve(c, district, world.rows)
        await family(c, district, world.family)
        for student in chance.sample(world.students, 2):
            await vendors.opt_out(store, c, district, student, "the mother", actor)
            opted.add(student)
    of = world.terms()
    made = await agreed(store, district, actor, of)
    first = world.reached(of, opted, denied)
    assert await seen(store, district, made.id) == first

    # A projection: some rows go, some change, a family forbids; what did not move keeps its time.
    gone = {name: chance.sample(sorted(rows), len(rows) // 4) for name, rows in world.rows.items() if len(rows) > 3}
    for name, ids in gone.items():
        if name in ("users", "enrollments", "results", "assessmentResults"):
            for id in ids:
                del world.rows[name][id]
    for id in list(world.rows["demographics"]):
        if id not in world.rows["users"]:
            del world.rows["demographics"][id]
    for one in chance.sample(sorted(world.rows["users"]), 3):
        world.rows["users"][one]["roles"] = [
            {"role": world.rows["users"][one]["roles"][0]["role"], "org": link(chance.choice(world.schools))}
        ]
    world.family = {pair for pair in world.family if set(pair) <= set(world.rows["users"])}
    denied.add(chance.choice(world.students))
    async with store.transaction(district) as c:
        given = Given(
            *denied, "the mother", "guardian", f"program:{made.client}", ["identity"], "rostering", False, TODAY, TODAY
        )
        await c.execute(text("UPDATE reach SET at = :before"), {"before": BEFORE})
        await serve(c, district, world.rows)
        await consents.add(store, c, district, given, actor)
        await reach.refresh(c, district)
        await reach.stamp(c, district, clock.now())
    second = world.reached(of, opted, denied)
    there = {(name, id) for name, rows in world.rows.items() for id in rows}
    assert await seen(store, district, made.id) == second | (first - there)  # what is gone is told as gone
    assert await seen(store, district, made.id, visible=False) == (first & there) - second
    assert await moved(store, district, made.id) == (second - first) | ((first & there) - second)

    async with store.transaction(district) as c:
        assert await reach.refresh(c, district) == 0
        theirs = await reach.students(c, made)
        for student in world.students:
            assert await reach.reaches(c, made, student) == (student in theirs)
    everything = replace(of, collections=dict.fromkeys(served.COLLECTIONS))
    users = {id for name, id in world.reached(everything, opted, denied) if name == "users"}
    assert theirs == users & set(world.students)


async def test_nothing_is_reached_before_anything_is_served_and_only_with_consent(
    store: Store, district: int, actor: Actor
) -> None:
    of = terms(basis="consent", collections={"users": None})
    made = await agreed(store, district, actor, of)
    assert await seen(store, district, made.id) == set()
    world = World(random.Random(1))
    student = world.person("student")
    world.rows["users"][student]["roles"][0].pop("endDate", None)
    async with store.transaction(district) as c:
        await serve(c, district, world.rows)
        given = Given(
            student, "the mother", "guardian", f"program:{made.client}", ["identity"], "rostering", True, TODAY, TODAY
        )
        await consents.add(store, c, district, given, actor)
        await reach.refresh(c, district)
        await reach.settle(c, district)
    found = {id for _, id in await seen(store, district, made.id)}
    assert found & {*world.students, student} == {student}


async def test_only_what_a_later_version_changes_moves(store: Store, district: int, actor: Actor) -> None:
    world = World(random.Random(2))
    async with store.transaction(district) as c:
        await serve(c, district, world.rows)
        await c.execute(
            text("INSERT INTO projection (district_id, at) VALUES (:d, :before)"), {"d": district, "before": BEFORE}
        )
    made = await agreed(store, district, actor, terms(collections={"orgs": None, "classes": None}))
    async with store.transaction(district) as c:
        assert (
            await c.scalar(text("SELECT count(*) FROM reach WHERE at = 'infinity' OR at < now() - interval '1 h'")) == 0
        )
        await c.execute(text("UPDATE reach SET at = :before"), {"before": BEFORE})
    await agreed(store, district, actor, terms(collections={"orgs": None, "courses": None}), made.client)
    assert {name for name, _ in await moved(store, district, made.id)} == {"classes", "courses"}
