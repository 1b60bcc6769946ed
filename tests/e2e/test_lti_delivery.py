"""A finalized plan told in a platform's gradebook through the whole delivery: profile, ledger, withdrawal, totals."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from connectors.lti.settings import LtiSettings
from connectors.lti.sink import NEUTRAL
from connectors.lti.twin import Platform, twin
from connectors.lti.twin_courses import STUDENT, TEACHER, Column, Course
from connectors.oneroster.settings import OneRosterSettings
from connectors.oneroster.twin import twin as a_sis
from gateway import delivery, dispatch, jobs, sync
from gateway.connector import ConnectionSettings
from gateway.store import deliveries, lti, reading, registers, tool_keys
from gateway.store.database import Store
from synthetic import build
from tests.e2e.test_gradebook import COUNSELOR, PLANTED, _finalized
from tests.serving import serve

DISTRICT = build(schools=1, students=24, seed=11)


@dataclass
class Here:
    """A district with a roster, a platform, and the finalized plan of one student of a course there."""

    store: Store
    district: int
    platform: Platform
    url: str
    course: Course
    plan: str
    student: dict[str, Any]
    number: str

    async def choose(self, **choices: Any) -> None:
        async with self.store.transaction(self.district) as c:
            connection = await registers.connection(self.store, self.district, "lms")
            await deliveries.set_profile(c, self.district, connection.id, choices)

    async def push(self) -> dict[str, Any]:
        number, _ = await delivery.request(self.store, self.district, self.plan, "lms", COUNSELOR)
        await dispatch.deliver_job(self.store, self.district, number)
        async with self.store.transaction(self.district) as c:
            return await deliveries.status(c, number)

    def columns(self) -> list[Column]:
        return [one for one in self.course.columns.values() if one.by_tool]

    def comments(self, number: str = "") -> list[str]:
        person = self.platform.courses.person(number or self.number).id
        return [said for one in self.columns() if person in one.entries for said in one.entries[person].comments]

    def posts(self, end: str) -> int:
        return sum(method == "POST" and path.partition("?")[0].endswith(end) for method, path, _ in self._received)

    @property
    def _received(self) -> Iterator[tuple[str, str, str]]:
        return iter(self.platform.received)


@pytest.fixture
async def here(store: Store, district: int) -> AsyncIterator[Here]:
    made = twin(DISTRICT, lambda: keys, page_size=4)
    keys = await tool_keys.published(store)
    platform: Platform = made.state.platform
    course = next(one for one in platform.courses.courses.values() if len(one.members) > 4)
    with serve(a_sis(DISTRICT)) as sis, serve(made) as url:
        given: dict[str, Any] = {"base_url": sis, "token_url": f"{sis}/token", "client_id": "demo-client"}
        number = await _connected(store, district, "sis", OneRosterSettings, given, client_secret="demo-secret")
        run = await jobs.request_pull(store, district, number, COUNSELOR)
        assert await sync.run(store, district, run) is not None
        told = {"issuer": url, "client_id": "planbridge-tool", "deployment_ids": ["1"], "jwks_url": f"{url}/jwks"}
        told |= {"authorization_url": f"{url}/auth", "token_url": f"{url}/token", "trusted_number": "sourcedid"}
        lms = await _connected(store, district, "lms", LtiSettings, told)
        async with store.transaction(district) as c:
            places = {"line_items": f"{url}/courses/{course.id}/lineitems?type_id=1"}
            places |= {"memberships": f"{url}/courses/{course.id}/memberships", "title": course.title}
            await lti.note_context(c, district, lms, deployment="1", context=course.id, **places)
        people = {
            value["value"]: one
            for one in await reading.entities(store, district, "person")
            for value in one["identifiers"]
        }
        inside = [platform.courses.people[id].number for id, role in course.members.items() if role == STUDENT]
        teacher = next(platform.courses.people[id].number for id, role in course.members.items() if role == TEACHER)
        student = people[inside[0]]
        plan = await _finalized(store, district, student["id"], people[teacher]["id"])
        yield Here(store, district, platform, url, course, plan, student, inside[0])


async def _connected(
    store: Store, district: int, name: str, shape: type[ConnectionSettings], given: dict[str, Any], **secret: str
) -> int:
    settings = shape.model_validate(given | secret | {"private_addresses": ["127.0.0.1: a twin"]})
    plain = settings.model_dump(mode="json", exclude={"client_secret", "proxy", "tool_key"})
    connector = "lti" if shape is LtiSettings else "oneroster"
    return await registers.add_connection(
        store, district, name, connector, plain, secret, COUNSELOR, keeps_roster=connector != "lti"
    )


async def test_the_whole_way(here: Here) -> None:
    """One district, from nothing switched on to taken back: a pull and a plan cost more than all that is done here."""
    # nothing is sent until a course is switched on, and it is said which could be
    await here.choose()
    made = await here.push()
    assert (made["state"], here.columns()) == ("delivered", [])
    assert any(f"{here.course.id} ({here.course.title})" in loss["reason"] for loss in made["losses"])

    # a doorway and nothing of the plan, no score, no total moved
    courses = here.platform.courses
    courses.graded(here.course, "Quiz", 100, {here.number: 90})
    await here.choose(courses=[here.course.id, "999"])
    seen = await delivery.preview(here.store, here.district, here.plan, "lms")
    made = await here.push()
    assert made["state"] == "delivered", (made["reason"], made["receipts"])
    (comment,) = here.comments()
    assert comment.endswith(f"/plans/{here.plan}")
    assert comment == seen.documents[0].body["score"]["comment"]
    assert courses.total(here.course, here.number) == 90
    told = " ".join(f"{method} {path} {body}" for method, path, body in here.platform.received).casefold()
    assert not [word for word in (*PLANTED, here.student["family_name"].casefold()) if word in told]
    assert any("999" in loss["reason"] for loss in made["losses"])
    (column,) = here.columns()
    assert column.item["label"] == "Student success plan" and here.plan not in json.dumps(column.item)

    # again: nothing is asked for twice
    assert (await here.push())["state"] == "delivered"
    assert (here.posts("/lineitems"), here.posts("/scores")) == (1, 1)

    # in words, where the district chose that: not while somebody teaches the course who is not on the plan's team
    await here.choose(courses=[here.course.id], doorway=False)
    made = await here.push()
    assert (made["state"], here.posts("/scores")) == ("parked", 1)
    assert "[audience-refused]" in made["reason"] and "teacher" in made["reason"]

    # and then what is about feelings stays, and only who may look sees it; a lost answer makes it no second comment
    for number in _numbers(here, TEACHER):
        del here.course.members[courses.person(number).id]
    here.platform.lose_answers = 1
    assert (await here.push())["state"] != "delivered"
    made = await here.push()
    assert made["state"] == "delivered", (made["reason"], made["receipts"])
    assert here.posts("/scores") == 2
    (comment,) = here.comments()
    assert [word in comment for word in PLANTED] == [False, False, True, True, True]
    assert "Calm" not in comment and "Quiet room" not in comment
    assert courses.total(here.course, here.number) == 90
    planted = [word for word in PLANTED if word in comment]
    allowed = {here.number} | {
        one.number for one in courses.people.values() if courses.person(here.number).id in one.children
    }
    for one in courses.people.values():
        texts = " ".join(courses.visible_to(one.number))
        assert one.number in allowed or not [word for word in planted if word in texts]

    # a person's edit is left alone until somebody decides
    column.entries[courses.person(here.number).id].comments = ["See me, please."]
    await here.choose(courses=[here.course.id])
    made = await here.push()
    assert (made["state"], here.comments()) == ("parked", ["See me, please."])

    # taken back: gone there, and what is others' stays
    other = next(one for one in _numbers(here, STUDENT) if one != here.number)
    column.entries[courses.person(other).id] = type(column.entries[courses.person(here.number).id])(
        comments=["Of another."]
    )
    (number,) = await dispatch.request_withdrawal(here.store, here.district, here.plan, COUNSELOR, "asked for", "lms")
    await dispatch.deliver_job(here.store, here.district, number)
    assert (here.comments(), here.comments(other)) == ([NEUTRAL], ["Of another."])


def _numbers(here: Here, role: str) -> list[str]:
    return [here.platform.courses.people[id].number for id, one in here.course.members.items() if one == role]


async def test_the_newest_launch_counts(store: Store, district: int) -> None:
    made = {"issuer": "https://lms.example.org", "client_id": "1", "jwks_url": "https://lms.example.org/jwks"}
    made |= {"authorization_url": "https://lms.example.org/auth"}
    number = await _connected(store, district, "lms", LtiSettings, made)
    for told in ("https://lms.example.org/2/lineitems", ""):
        async with store.transaction(district) as c:
            await lti.note_context(c, district, number, deployment="1", context="2", title="Art", line_items=told)
            (place,) = await lti.places(c, number)
        assert (place.key, place.facts["title"], place.facts["line_items"]) == ("2", "Art", told)
