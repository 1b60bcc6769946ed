"""Everybody who might look at one child's plan in a platform, and the three platforms in which they look."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sqlalchemy import text

from connectors.canvas import twin as canvas
from connectors.canvas.twin_world import Assignment
from connectors.lti import twin as lti
from connectors.lti.twin_courses import AIDE, PARENT, STUDENT, TEACHER
from connectors.moodle import twin as moodle
from gateway import delivery, dispatch, jobs, planning, registry
from gateway.store import deliveries, reading, registers, tool_keys
from gateway.store import lti as contexts
from gateway.store import plans as stored
from gateway.store.database import Store
from synthetic import build
from tests.destinations.planted import BEGIN, END, found_in
from tests.destinations.world import ACTOR
from tests.serving import serve
from tests.store.school import GONE, NUMBER, School, user

CHILD, CLASSMATE = NUMBER, "88000"
MOTHER, FATHER, ANOTHERS = "9002", "9001", "9003"
TUTOR, COLLEAGUE, AIDES, LEFT = "500", "501", "503", "502"
"""Numbers: the child and a classmate; her parents, and one of the classmate; the teacher on the team, one who is not,
one who helps in the class, and the counselor who is taken off the team."""
KEYS = {CHILD: GONE, MOTHER: "par-dorothea", FATHER: "par-ignatz", TUTOR: "tea-1", COLLEAGUE: "tea-2", LEFT: "cou-2"}
LOCAL = {"private_addresses": ["127.0.0.1: a twin"]}


@dataclass
class Platform(ABC):
    """One in which the cast has accounts. `seats` are places from which somebody would see the plan."""

    url: str
    app: Any

    @property
    @abstractmethod
    def settings(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """Of the connection."""

    @abstractmethod
    def seat(self, number: str) -> None:
        """Somebody teaches the child's class there, or helps in it."""

    @abstractmethod
    def leave(self, number: str) -> None:
        """... and does no more."""

    @abstractmethod
    def texts(self, number: str) -> list[str]:
        """All that somebody finds."""

    @abstractmethod
    def total(self) -> Any:
        """The child's total in the course."""

    def sees(self, number: str) -> set[str]:
        return found_in("\n".join(self.texts(number)))


class Moodle(Platform):
    """Roles in the context of the child; a class shows nobody a learning plan."""

    name = "moodle"
    choices: Mapping[str, Any] = {}
    teaching = False

    def begin(self) -> None:
        site = self.site = self.app.state.site
        for n, one in enumerate((CHILD, CLASSMATE, MOTHER, FATHER, ANOTHERS, TUTOR, COLLEAGUE, AIDES, LEFT), 700):
            site.add(moodle.User(n, f"u{n}", "U", one, one))
        self.ids = {one.idnumber: one.id for one in site.users.values()}
        for parent, child in ((MOTHER, CHILD), (FATHER, CHILD), (ANOTHERS, CLASSMATE)):
            site.assignments.add((moodle.PARENT, self.ids[parent], self.ids[child]))

    @property
    def settings(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        return {"base_url": self.url, "team_role": moodle.TEAM, **LOCAL}, {"token": "demo-token"}

    def seat(self, number: str) -> None:
        pass

    leave = seat

    def texts(self, number: str) -> list[str]:
        found: list[str] = self.site.visible_to(self.ids[number])
        return found

    def total(self) -> Any:
        """Nothing that was called has to do with grades."""
        return {name for name, _ in self.app.state.received if "grade" in name and "get" not in name}


class Canvas(Platform):
    name = "canvas"
    choices: Mapping[str, Any] = {"courses": ["HR-5A"]}
    teaching = True

    def begin(self) -> None:
        held = self.held = self.app.state.held
        self.homeroom = held.course("Homeroom", "HR-5A")
        self.people = {
            one: held.person(one, one)
            for one in (CHILD, CLASSMATE, MOTHER, FATHER, ANOTHERS, TUTOR, COLLEAGUE, AIDES, LEFT)
        }
        for one in (CHILD, CLASSMATE):
            held.enroll(self.homeroom, self.people[one], "StudentEnrollment")
        held.enroll(self.homeroom, self.people[TUTOR], "TeacherEnrollment")
        for parent, child in ((MOTHER, CHILD), (FATHER, CHILD), (ANOTHERS, CLASSMATE)):
            held.observe(self.people[parent], self.people[child])
        quiz = Assignment(held.id(), self.homeroom.id, "Quiz", points=10.0, published=True)
        quiz.scores[self.people[CHILD].id] = 9.0
        held.assignments[quiz.id] = quiz

    @property
    def settings(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        return {"base_url": self.url, **LOCAL}, {"access_token": "demo-token"}

    def seat(self, number: str) -> None:
        kind = "TaEnrollment" if number == AIDES else "TeacherEnrollment"
        self.held.enroll(self.homeroom, self.people[number], kind)

    def leave(self, number: str) -> None:
        id = self.people[number].id
        for one in [one.id for one in self.held.enrollments.values() if one.user == id]:
            del self.held.enrollments[one]

    def texts(self, number: str) -> list[str]:
        found: list[str] = self.held.visible_to(self.people[number].id)
        return found

    def total(self) -> Any:
        return self.held.total(self.people[CHILD].id, self.homeroom.id)


class Lti(Platform):
    name = "lti"
    choices: Mapping[str, Any] = {"doorway": False}
    teaching = True

    def begin(self) -> None:
        courses = self.courses = self.app.state.platform.courses
        self.course = courses.add_course("homeroom", "Homeroom")
        for one in (CHILD, CLASSMATE, MOTHER, FATHER, ANOTHERS, TUTOR, COLLEAGUE, AIDES, LEFT):
            courses.add_person(one, one)
        for one, role in ((CHILD, STUDENT), (CLASSMATE, STUDENT), (TUTOR, TEACHER), (MOTHER, PARENT)):
            self.course.members[courses.person(one).id] = role
        for parent, child in ((MOTHER, CHILD), (FATHER, CHILD), (ANOTHERS, CLASSMATE)):
            courses.person(parent).children.add(courses.person(child).id)
        courses.graded(self.course, "Quiz", 10, {CHILD: 9})
        self.choices = {"doorway": False, "courses": [self.course.id]}

    @property
    def settings(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        given = {"issuer": self.url, "client_id": "planbridge-tool", "deployment_ids": ["1"], **LOCAL}
        given |= {"trusted_number": "sourcedid"}
        return given | {"authorization_url": f"{self.url}/auth", "token_url": f"{self.url}/token",
                        "jwks_url": f"{self.url}/jwks"}, {}  # fmt: skip

    def seat(self, number: str) -> None:
        self.course.members[self.courses.person(number).id] = AIDE if number == AIDES else TEACHER

    def leave(self, number: str) -> None:
        del self.course.members[self.courses.person(number).id]

    def texts(self, number: str) -> list[str]:
        found: list[str] = self.courses.visible_to(number)
        return found

    def total(self) -> Any:
        return self.courses.total(self.course, CHILD)


@dataclass
class Stage:
    """A district, the plan of one child in it, and a platform."""

    store: Store
    district: int
    school: School
    keys: list[Mapping[str, Any]] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    plan: str = ""

    async def begin(self) -> None:
        files = self.school.files
        self.school.row("users", "par-ignatz")["identifier"] = FATHER
        self.school.row("users", "par-dorothea")["identifier"] = MOTHER
        files["users"] += [
            user("tea-2", "teacher", "Ermintrude", "Quill", identifier=COLLEAGUE),
            user("tea-3", "aide", "Lavinia", "Sorrel", identifier=AIDES),
            user("cou-1", "administrator", "Osric", "Tansy", identifier="510"),
            user("cou-2", "administrator", "Peregrine", "Yarrow", identifier=LEFT),
            user("par-3", "parent", "Hesper", "Pettifer", identifier=ANOTHERS, agentSourcedIds="stu-other-0"),
        ]
        files["enrollments"] += [
            {"sourcedId": f"enr-{key}", "classSourcedId": "class-1", "schoolSourcedId": "school-1",
             "userSourcedId": key, "role": "teacher"}
            for key in ("tea-1", "tea-2")
        ]  # fmt: skip
        await self.school.connect()
        assert (await self.school.pull())["state"] == "published"
        async with self.store.transaction(self.district) as c:
            for key in (*KEYS.values(), "cou-1"):
                [self.ids[key]] = await reading.people_at(c, self.school.connection, key)
        self.keys = await tool_keys.published(self.store)
        self.plan = await planning.create(self.store, self.district, await self.content(), ACTOR)
        await self.finalize()

    async def content(self, **more: Any) -> dict[str, Any]:
        [child] = await reading.entities(self.store, self.district, "person", ids=[self.ids[GONE]])
        today = date.today()
        yesterday, later = (today - timedelta(days=1)).isoformat(), (today + timedelta(days=56)).isoformat()
        said = {name: f"{BEGIN}{name}{END}" for name in ("strength", "need", "goal", "support")}
        return {
            "student": child["id"],
            "school": child["roles"][0]["organization"],
            "coordinator": self.ids["cou-1"],
            "period_start": today.isoformat(),
            "next_review_on": later,
            "strengths": [{"statement": said["strength"], "domain": "academic"}],
            "needs": [{"domain": "academic", "statement": said["need"], "evidence": [{"observation": said["need"]}]}],
            "goals": [
                {"domain": "academic", "statement": said["goal"], "addresses": ["need-1"],
                 "baseline": {"measure": "Pages", "value": 3, "on": today.isoformat()},
                 "targets": [{"measure": "Pages", "value": 12, "due_on": later}]},
            ],
            "supports": [
                {"name": said["support"], "kind": "tutoring", "goals": ["goal-1"], "owner": self.ids["tea-1"],
                 "frequency": 2, "frequency_interval": "week", "duration_minutes": 30},
            ],
            "team": [
                {"who": self.ids["tea-1"], "role": "teacher"},
                {"who": self.ids["cou-2"], "role": "counselor", "begin_on": yesterday},
            ],
            **more,
        }  # fmt: skip

    async def finalize(self, **more: Any) -> None:
        """The family is consulted, and agrees. `more` takes the place of what the plan said."""
        await planning.edit(self.store, self.district, self.plan, await self.content(**more), ACTOR)
        await planning.take(self.store, self.district, self.plan, "consult", ACTOR)
        held = {"held_on": date.today().isoformat(), "outcome": "agreed",
                "participants": [{"who": self.ids["par-dorothea"], "role": "parent"}]}  # fmt: skip
        await planning.edit(
            self.store, self.district, self.plan, await self.content(consultations=[held], **more), ACTOR
        )
        await planning.take(self.store, self.district, self.plan, "finalize", ACTOR)
        await planning.pass_time(self.store, self.district, self.plan)

    @contextmanager
    def served(self, kind: type[Any]) -> Iterator[Any]:
        district = build(schools=1, students=1, seed=11)
        if kind is Canvas:
            held = canvas.World()
            app = canvas.twin(holds=held)
            app.state.held = held
        elif kind is Lti:  # one that says of a helper that they teach
            app = lti.twin(district, lambda: self.keys, kind="canvas")
        else:
            app = moodle.twin(district)
        with serve(app) as url:
            made = kind(url, app)
            made.begin()
            yield made

    async def connect(self, platform: Any) -> registers.Connection:
        plain, secrets = platform.settings
        shape = registry.connector(platform.name).settings
        hidden = {*secrets, "proxy", "client_secret", "refresh_token", "tool_key", "access_token", "token"}
        full = shape.model_validate({**plain, **secrets}).model_dump(mode="json", exclude=hidden)
        number = await registers.add_connection(
            self.store, self.district, platform.name, platform.name, full, secrets, ACTOR, keeps_roster=False
        )
        async with self.store.transaction(self.district) as c:
            await deliveries.set_profile(c, self.district, number, dict(platform.choices))
            if platform.name == "lti":
                place = f"{platform.url}/courses/{platform.course.id}"
                places = {"line_items": f"{place}/lineitems", "memberships": f"{place}/memberships"}
                await contexts.note_context(
                    c, self.district, number, deployment="1", context=platform.course.id, title="Homeroom", **places
                )
        return await registers.connection(self.store, self.district, number)

    async def push(self, to: str, *, doorway: bool = False) -> dict[str, Any]:
        number, _ = await delivery.request(self.store, self.district, self.plan, to, ACTOR, doorway=doorway)
        await dispatch.deliver_job(self.store, self.district, number)
        async with self.store.transaction(self.district) as c:
            return await deliveries.status(c, number)

    async def half_an_hour_later(self, connection: registers.Connection) -> None:
        """What a destination has is judged anew, and what follows from it is carried out."""
        await jobs.recheck_job(self.store, self.district, connection.id)
        async with self.store.transaction(self.district) as c:
            queued = await c.execute(text("SELECT id FROM delivery WHERE state = 'queued' ORDER BY id"))
        for one in queued.scalars():
            await dispatch.deliver_job(self.store, self.district, one)

    async def take_off_the_team(self, key: str) -> None:
        """Somebody writes into a new draft that this one's last day was yesterday."""
        yesterday = (date.today() - timedelta(days=1)).isoformat()
        async with self.store.transaction(self.district) as c:
            found = (await stored.load(c, self.plan)).content
        team = [one | ({"end_on": yesterday} if one["who"] == self.ids[key] else {}) for one in found["team"]]
        await planning.edit(self.store, self.district, self.plan, {**found, "team": team}, ACTOR)
