"""What a program could find out of what its agreement does not reach, tried as somebody would who wants to know."""

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import text

from gateway import api, clock
from gateway.scopes import ONEROSTER
from gateway.settings import Settings
from gateway.store import clients, consents, reach, reads, registers
from gateway.store.consents import Given
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.vendors import Agreement, Rule
from tests.api.conftest import serving
from tests.store.served_rows import Row, agreed, family, link, serve, terms

ACTOR = Actor("it@district.example.org", "district_it")
module = pytest.mark.asyncio(loop_scope="module")
USERS = "/rostering/v1p2/users"
NAMES = [
    "top",
    "north",
    "south",
    "year",
    "course",
    "here",
    "there",
    "kid",
    "sib",
    "pal",
    "mum",
    "teacher",
    "in_here",
    "in_there",
    "taught",
    "quiz",
    "quizzed",
    "category",
    "other",
]
IDS = {name: str(uuid.uuid5(uuid.UUID(int=11), name)) for name in NAMES}
SHORT = {id: name for name, id in IDS.items()}


def named(*names: str) -> list[Row]:
    return [link(IDS[name]) for name in names]


def role(of: str, *schools: str) -> list[Row]:
    return [{"roleType": "primary", "role": of, "org": link(IDS[school])} for school in schools]


def user(given: str, roles: list[Row], **more: Any) -> Row:
    return {"enabledUser": "true", "givenName": given, "familyName": "Pettifer", "roles": roles, **more}


def roster() -> dict[str, dict[str, Row]]:
    """Two schools; a child and a sibling at the other one, with one mother; a friend; somebody who teaches at both."""
    [top, north, south, here, there, kid, sib, mum, quiz] = [
        link(IDS[name]) for name in ("top", "north", "south", "here", "there", "kid", "sib", "mum", "quiz")
    ]
    of: dict[str, dict[str, Row]] = {
        "orgs": {
            "top": {"name": "Fennel County", "type": "district", "children": [north, south]},
            "north": {"name": "North", "type": "school", "parent": top},
            "south": {"name": "South", "type": "school", "parent": top},
        },
        "courses": {"course": {"title": "Reading", "courseCode": "R1", "org": south}},
        "classes": {
            "here": {"title": "Here", "school": north, "course": link(IDS["course"])},
            "there": {"title": "There", "school": south, "course": link(IDS["course"])},
        },
        "users": {
            "kid": user("Maud", role("student", "north"), grades=["03"], agents=[mum], primaryOrg=south, email="m@x"),
            "sib": user("Nell", role("student", "south"), grades=["03"], agents=[mum]),
            "pal": user("Oddmund", role("student", "north"), grades=["03"]),
            "mum": user("Ottoline", role("parent", "north", "south"), agents=[kid, sib]),
            "teacher": user("Silas", role("teacher", "north", "south")),
        },
        "demographics": {"kid": {"birthDate": "2017-05-06"}, "pal": {"birthDate": "2017-01-02"}},
        "enrollments": {
            "in_here": {"user": kid, "class": here, "school": north, "role": "student"},
            "in_there": {"user": sib, "class": there, "school": south, "role": "student"},
            "taught": {"user": link(IDS["teacher"]), "class": here, "school": north, "role": "teacher"},
        },
        "lineItems": {"quiz": {"title": "Quiz", "class": here, "school": north, "category": link(IDS["category"])}},
        "results": {"quizzed": {"lineItem": quiz, "student": kid, "score": 3, "class": there}},
    }
    return {name: {IDS[one]: record for one, record in rows.items()} for name, rows in of.items()}


@dataclass
class Asked:
    """A district of its own with a program that has an agreement for the northern school."""

    store: Store
    district: int
    http: httpx.AsyncClient
    agreement: Agreement
    headers: Mapping[str, str]

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.http.get(f"/ims/oneroster{path}", headers=self.headers, params=query)

    async def rows(self, path: str, **query: Any) -> dict[str, Row]:
        answer = await self.get(path, **query)
        assert answer.status_code == 200, answer.text
        [rows] = answer.json().values()
        assert int(answer.headers["x-total-count"]) == len(rows)
        return {SHORT[row["sourcedId"]]: row for row in rows}

    async def publish(self, rows: dict[str, dict[str, Row]]) -> datetime:
        """What is served now, as a projection leaves it: what did not change keeps its time. When that was."""
        async with self.store.transaction(self.district) as c:
            before = {
                name: {row.sourced_id: (row.at, row.doc) for row in await c.execute(
                    text(f"SELECT sourced_id, at, doc FROM {reach.COLLECTIONS[name].table}"))}
                for name in rows
            }  # fmt: skip
            await serve(c, self.district, rows)
            for name, were in before.items():
                for id, (at, doc) in were.items():
                    if id in rows[name] and doc == rows[name][id] | link(id):
                        await c.execute(
                            text(f"UPDATE {reach.COLLECTIONS[name].table} SET at = :at WHERE sourced_id = :id"),
                            {"at": at, "id": id},
                        )
            await reach.refresh(c, self.district)
            await reach.settle(c, self.district)
        return clock.now()

    async def agree(self, **more: Any) -> Agreement:
        """The agreement says this by now."""
        of = msgspec.structs.replace(self.agreement.terms, **more)
        return await agreed(self.store, self.district, ACTOR, of, self.agreement.client)

    async def says(self, student: str, recipient: str, *sections: str, permit: bool = False) -> int:
        """A family's word, as the district records it."""
        today = clock.today()
        given = Given(
            IDS[student], "the mother", "guardian", recipient, sections, "rostering", permit, today, today
        )  # fmt: skip
        async with self.store.transaction(self.district) as c:
            return await consents.add(self.store, c, self.district, given, ACTOR)

    async def takes_back(self, consent: int) -> None:
        async with self.store.transaction(self.district) as c:
            await consents.revoke(self.store, c, self.district, consent, "They moved house.", ACTOR)


NORTH = terms(rule=Rule(schools=frozenset({IDS["north"]})))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(settings: Settings) -> AsyncIterator[tuple[Store, httpx.AsyncClient]]:
    store = await Store.open(settings)
    async with serving(api.create_app(store, settings)) as http:
        yield store, http
    await store.close()


@pytest_asyncio.fixture(loop_scope="module")
async def asked(place: tuple[Store, httpx.AsyncClient]) -> Asked:
    store, http = place
    district = await registers.district(store, f"within reach {uuid.uuid4()}")
    made, _ = await clients.add(store, district, "Reading App", list(ONEROSTER), ACTOR)
    async with store.transaction(district) as c:
        await c.execute(text("INSERT INTO projection (district_id, number, at) VALUES (:d, 1, now())"), {"d": district})
        await serve(c, district, roster())
        await family(c, district, [(IDS["kid"], IDS["mum"]), (IDS["sib"], IDS["mum"])])
    client = clients.Client(made, district, "Reading App", frozenset(ONEROSTER))
    token = await clients.issue_token(store, client, sorted(ONEROSTER))
    agreement = await agreed(store, district, ACTOR, NORTH, made)
    return Asked(store, district, http, agreement, {"Authorization": f"Bearer {token}"})


# --- what a record says of others --------------------------------------------------------------------------------


@module
async def test_a_record_names_nobody_whom_the_program_does_not_have(asked: Asked) -> None:
    users = await asked.rows(USERS)
    assert users.keys() == {"kid", "pal", "teacher"}
    assert "agents" not in users["kid"] and "primaryOrg" not in users["kid"]
    assert [SHORT[one["org"]["sourcedId"]] for one in users["teacher"]["roles"]] == ["north"]
    assert "agents" not in (await asked.get(f"{USERS}/{IDS['kid']}")).json()["user"]
    orgs = await asked.rows("/rostering/v1p2/orgs")
    assert orgs["top"]["children"] == named("north") and orgs["north"]["parent"] == link(IDS["top"])
    assert "org" not in (await asked.rows("/rostering/v1p2/courses"))["course"]
    assert "class" not in (await asked.rows("/gradebook/v1p2/results"))["quizzed"]
    for path, filter in (
        (USERS, f"agents.sourcedId='{IDS['mum']}'"),
        (USERS, f"primaryOrg.sourcedId='{IDS['south']}'"),
        (USERS, "primaryOrg.sourcedId>'0'"),
        (USERS, f"roles.org.sourcedId='{IDS['south']}'"),
        (USERS, f"roles.org.sourcedId~'{IDS['south']},{IDS['top']}'"),
        ("/rostering/v1p2/orgs", f"children.sourcedId='{IDS['south']}'"),
        ("/gradebook/v1p2/results", f"class.sourcedId='{IDS['there']}'"),
    ):
        assert await asked.rows(path, filter=filter) == {}, filter
    assert (await asked.rows(USERS, filter=f"roles.org.sourcedId='{IDS['north']}'")).keys() == users.keys()
    for filter in ("agents.type='user'", "primaryOrg.href~'orgs'", f"roles.org.href~'{IDS['south']}'"):
        assert (await asked.get(USERS, filter=filter)).status_code == 400, filter


@module
async def test_of_a_family_only_what_belongs_to_whom_the_program_has(asked: Asked) -> None:
    asking = clock.now()
    rule = msgspec.structs.replace(NORTH.rule, people=frozenset({"student", "contact"}))
    await asked.agree(rule=rule)
    users = await asked.rows(USERS)
    assert users.keys() == {"kid", "pal", "mum"}
    assert users["kid"]["agents"] == named("mum") and users["mum"]["agents"] == named("kid")
    assert [SHORT[one["org"]["sourcedId"]] for one in users["mum"]["roles"]] == ["north"]
    delta = await asked.rows(USERS, filter=f"dateLastModified>'{asking.isoformat()}'")
    assert delta["kid"]["agents"] == named("mum"), "the child's record is another one than it was"
    assert delta["teacher"]["status"] == "tobedeleted" and "pal" not in delta


@module
async def test_where_orgs_are_not_agreed_their_ids_are_all_that_is_told(asked: Asked) -> None:
    await asked.agree(collections={"users": None})
    users = await asked.rows(USERS)
    assert len(users["teacher"]["roles"]) == 2
    assert "agents" not in users["kid"] and "primaryOrg" in users["kid"]
    assert "kid" in await asked.rows(USERS, filter=f"primaryOrg.sourcedId='{IDS['south']}'")


# --- who is out of reach -----------------------------------------------------------------------------------------


@module
async def test_of_who_left_nothing_more_is_told_whatever_becomes_of_them(asked: Asked) -> None:
    rows = roster()
    rows["users"][IDS["kid"]]["roles"] = role("student", "south")
    left = await asked.publish(rows)
    [gone] = (
        await asked.rows(USERS, filter=f"dateLastModified<='{left.isoformat()}' AND status='tobedeleted'")
    ).values()
    rows["users"][IDS["kid"]]["givenName"] = "Maudie"
    rows["users"][IDS["pal"]]["givenName"] = "Odd"
    await asked.publish(rows)
    delta = await asked.rows(USERS, filter=f"dateLastModified>'{left.isoformat()}'")
    assert delta.keys() == {"pal"}
    [again] = (await asked.rows(USERS, filter="status='tobedeleted'")).values()
    assert again == gone and gone.keys() == {"sourcedId", "status", "dateLastModified"}


@module
async def test_who_they_are_now_is_told_to_whoever_has_them(asked: Asked) -> None:
    rows = roster()
    del rows["users"][IDS["pal"]]
    await asked.publish(rows)
    for into, told in (("sib", None), ("kid", IDS["kid"])):
        async with asked.store.transaction(asked.district) as c:
            values = {"into": IDS[into], "id": IDS["pal"]}
            await c.execute(text("UPDATE served_users SET survivor = :into WHERE sourced_id = :id"), values)
        row = (await asked.rows(USERS, filter="status='tobedeleted'"))["pal"]
        assert row.get("metadata", {}).get("planbridge.mergedInto") == told
        why = (await asked.get(f"{USERS}/{IDS['pal']}")).json()["imsx_description"]
        assert (IDS[into] in why) == (told is not None)


# --- what families say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["client", "name"])
@module
async def test_what_a_family_forbids_it_forbids_from_that_moment(asked: Asked, by: str) -> None:
    recipient = f"program:{asked.agreement.client if by == 'client' else 'Reading App'}"
    assert (await asked.get(f"{USERS}/{IDS['kid']}")).status_code == 200
    asking = clock.now()
    said = await asked.says("kid", recipient, "identity")
    assert (await asked.get(f"{USERS}/{IDS['kid']}")).status_code == 404
    assert (await asked.get("/rostering/v1p2/demographics")).json()["demographics"][0]["sourcedId"] == IDS["pal"]
    told = await asked.rows(USERS, filter=f"dateLastModified>'{asking.isoformat()}'")
    assert {who: row["status"] for who, row in told.items()} == {"kid": "tobedeleted"}
    await asked.takes_back(said)
    assert (await asked.get(f"{USERS}/{IDS['kid']}")).status_code == 200


@module
async def test_a_consent_opens_what_it_names_and_its_end_closes_it(asked: Asked) -> None:
    await asked.agree(basis="consent")
    assert (await asked.rows(USERS)).keys() == {"teacher"}
    to = f"program:{asked.agreement.client}"
    said = await asked.says("kid", to, "identity", permit=True)
    assert (await asked.rows(USERS)).keys() == {"teacher", "kid"}
    assert await asked.rows("/gradebook/v1p2/results") == {}, "identity is not what somebody achieved"
    more = await asked.says("kid", to, "academic", permit=True)
    assert (await asked.rows("/gradebook/v1p2/results")).keys() == {"quizzed"}
    await asked.says("kid", to, "academic")
    assert await asked.rows("/gradebook/v1p2/results") == {}
    for one in (said, more):
        await asked.takes_back(one)
    assert (await asked.rows(USERS)).keys() == {"teacher"}


# --- what is agreed ----------------------------------------------------------------------------------------------


@module
async def test_a_delta_has_what_a_changed_agreement_shows_otherwise(asked: Asked) -> None:
    await asked.agree(collections={"users": frozenset({"givenName"}), "orgs": None})
    asking = clock.now()
    await asked.agree(collections={"users": frozenset({"givenName", "email"}), "orgs": None, "classes": None})
    since = f"dateLastModified>'{asking.isoformat()}'"
    assert (await asked.rows(USERS, filter=since))["kid"]["email"] == "m@x"
    assert (await asked.rows("/rostering/v1p2/classes", filter=since)).keys() == {"here"}
    assert await asked.rows("/rostering/v1p2/orgs", filter=since) == {}
    in_order = await asked.get(USERS, sort="sourcedId", orderBy="desc")
    ids = [row["sourcedId"] for row in in_order.json()["users"]]
    assert ids == sorted(ids, reverse=True), "by what every record has it may always be ordered"


# --- what is on record, and what takes leave ---------------------------------------------------------------------


async def received(asked: Asked) -> dict[tuple[str, str], set[str]]:
    async with asked.store.transaction(asked.district) as c:
        found = await reads.received(c, asked.agreement.client)
    made: dict[tuple[str, str], set[str]] = {}
    for one in found:
        made.setdefault((SHORT[one["student"]], one["collection"]), set()).add(one["field"])
    return made


@module
async def test_whoever_finds_somebody_by_a_field_was_told_of_it(asked: Asked) -> None:
    where = "/rostering/v1p2/demographics"
    assert (await asked.rows(where, filter="birthDate<'2017-03-01'", fields="sourcedId")).keys() == {"pal"}
    assert await received(asked) == {("pal", "demographics"): {"sourcedId", "birthDate"}}
    await asked.rows(where, sort="birthDate", fields="sourcedId")
    assert (await received(asked))["kid", "demographics"] == {"sourcedId", "birthDate"}


@module
async def test_a_walk_through_all_is_none_through_what_changed(asked: Asked) -> None:
    await asked.agree(pages=1)

    async def walked(since: datetime) -> int:
        query = {"limit": 1, "offset": 1, "filter": f"dateLastModified>'{since.isoformat()}'"}
        return (await asked.get(USERS, **query)).status_code

    long_ago = datetime(1970, 1, 1, tzinfo=UTC)
    assert (await asked.get(USERS, limit=1, offset=1)).status_code == 403
    assert await walked(long_ago) == 403, "since before it knew anybody"
    assert await walked(clock.now()) == 403
    assert (await asked.get(USERS, limit=1)).status_code == 200
    assert (await walked(clock.now()), await walked(long_ago)) == (200, 403)


@module
async def test_a_consent_that_ended_yesterday_opens_nothing_before_the_projection(asked: Asked) -> None:
    """Nor is anything served on the day from which one forbids; where no consent turned, all is served as ever."""
    consent = await asked.says("kid", f"program:{asked.agreement.client}", "identity", permit=True)

    async def after(statement: str) -> int:
        async with asked.store.owner.begin() as c:
            await c.execute(text(f"UPDATE {statement}"), {"d": asked.district, "id": consent})
        answer = await asked.get(USERS)
        assert answer.status_code == 200 or "consent-turned" in answer.text
        return answer.status_code

    assert await after("projection SET followed_at = now() - interval '1 day' WHERE district_id = :d") == 200
    ended = "consent SET from_on = current_date - 9, until_on = current_date - 1 WHERE id = :id"
    assert await after(ended) == 503
    assert await after("consent SET permit = false, until_on = current_date WHERE id = :id") == 200
    assert await after("consent SET from_on = current_date WHERE id = :id") == 503
    assert await after("projection SET followed_at = now() WHERE district_id = :d") == 200
