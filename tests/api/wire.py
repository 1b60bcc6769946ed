"""A tiny district as OneRoster's wire has it, laid straight into what is served, and a program with an agreement."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import text

from gateway import served, vendors
from gateway.queries import View
from gateway.served import COLLECTIONS
from gateway.store import clients
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.vendors import Rule, Terms

START = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
"""When the first row was projected; each further one a second later."""
WHOLE: Mapping[str, frozenset[str] | None] = dict.fromkeys(COLLECTIONS)


def name(short: str) -> str:
    """The sourcedId of what the tests call so."""
    return str(uuid5(UUID(int=7), short))


def ref(collection: str, short: str) -> dict[str, str]:
    href = served.href(collection, name(short))
    return {"href": href, "sourcedId": name(short), "type": COLLECTIONS[collection].singular}


def _role(role: str, org: str, kind: str = "primary") -> dict[str, Any]:
    return {"roleType": kind, "role": role, "org": ref("orgs", org)}


def _user(given: str, family: str, *roles: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"enabledUser": "true", "givenName": given, "familyName": family, "roles": list(roles), **more}


def _enrolled(user: str, class_: str, school: str, role: str = "student", **more: Any) -> dict[str, Any]:
    found = {"user": ref("users", user), "class": ref("classes", class_), "school": ref("orgs", school), "role": role}
    return found | more


TERM = [ref("academicSessions", "fall")]
RECORDS: dict[str, dict[str, dict[str, Any]]] = {
    "orgs": {
        "district": {"name": "Elmfield", "type": "district", "identifier": "900"},
        "alder": {"name": "Alder School", "type": "school", "identifier": "901", "parent": ref("orgs", "district")},
        "birch": {"name": "O'Birch, Lower", "type": "school", "identifier": "902", "parent": ref("orgs", "district")},
    },
    "academicSessions": {
        "year": {"title": "2027", "startDate": "2026-08-01", "endDate": "2027-07-31", "type": "schoolYear",
                 "schoolYear": "2027"},
        "fall": {"title": "Fall", "startDate": "2026-08-01", "endDate": "2026-12-31", "type": "term",
                 "schoolYear": "2027", "parent": ref("academicSessions", "year")},
        "first": {"title": "First half", "startDate": "2026-08-01", "endDate": "2026-10-15", "type": "gradingPeriod",
                  "schoolYear": "2027", "parent": ref("academicSessions", "fall")},
    },
    "resources": {
        "atlas": {"vendorResourceId": "atlas-1", "title": "Atlas", "roles": ["student", "teacher"],
                  "importance": "primary"},
        "reader": {"vendorResourceId": "reader-1"},
    },
    "courses": {
        "maths": {"title": "Maths", "courseCode": "M5", "grades": ["05"], "subjects": ["Maths"],
                  "org": ref("orgs", "district"), "resources": [ref("resources", "reader")]},
        "arts": {"title": "Arts", "courseCode": "A1", "subjects": ["Art, Music", "Drama"], "org": ref("orgs", "alder")},
    },
    "classes": {
        "m5a": {"title": "Maths 5a", "classType": "scheduled", "grades": ["05", "06"],
                "course": ref("courses", "maths"), "school": ref("orgs", "alder"), "terms": TERM,
                "resources": [ref("resources", "atlas")]},
        "art": {"title": "Arts", "classType": "homeroom", "course": ref("courses", "arts"),
                "school": ref("orgs", "alder"), "terms": TERM},
        "m5b": {"title": "maths 5B", "course": ref("courses", "maths"), "school": ref("orgs", "birch"), "terms": TERM,
                "location": "100% \\ _ room"},
    },
    "users": {
        "ann": _user("Ann", "Quill", _role("student", "alder"), grades=["05"], email="ann@example.org",
                     metadata={"house": "Red", "points": 7}, userIds=[{"type": "SIS", "identifier": "A-1"}],
                     agents=[ref("users", "gil")], resources=[ref("resources", "atlas")]),
        "bo": _user("Bo", "O'Quill", _role("student", "alder"), grades=["06"], primaryOrg=ref("orgs", "alder"),
                    metadata={"house": "Blue"}),
        "cy": _user("Cy", "Ämter", _role("student", "birch"), grades=["05"]),
        "tess": _user("Tess", "Marrow", _role("teacher", "alder"), _role("parent", "birch", "secondary")),
        "gil": _user("Gil", "Quill", _role("guardian", "alder")),
        "hidden": _user("Hid", "Quill", _role("student", "alder"), grades=["05"]),
        "gone": _user("Gone", "Quill", _role("student", "alder"), grades=["05"]),
        "left": _user("Left", "Quill", _role("student", "alder"), grades=["05"]),
    },
    "demographics": {
        "ann": {"birthDate": "2015-04-03", "sex": "female", "asian": "true"},
        "bo": {"birthDate": "2014-01-31", "hispanicOrLatinoEthnicity": "false"},
    },
    "enrollments": {
        "ann-m5a": _enrolled("ann", "m5a", "alder", beginDate="2026-08-20"),
        "bo-m5a": _enrolled("bo", "m5a", "alder", primary="false"),
        "bo-art": _enrolled("bo", "art", "alder"),
        "cy-m5b": _enrolled("cy", "m5b", "birch"),
        "tess-m5a": _enrolled("tess", "m5a", "alder", "teacher", primary="true"),
        "hidden-m5a": _enrolled("hidden", "m5a", "alder"),
    },
    "categories": {"tests": {"title": "Tests", "weight": 0.5}, "work": {"title": "Homework"}},
    "scoreScales": {
        "letters": {"title": "Letters", "type": "ordinal", "class": ref("classes", "m5a"),
                    "scoreScaleValue": [{"itemValueLHS": "A", "itemValueRHS": "4"}]},
    },
    "lineItems": {
        "quiz": {"title": "Quiz", "assignDate": "2026-09-07T00:00:00.000Z", "dueDate": "2026-09-14T00:00:00.000Z",
                 "class": ref("classes", "m5a"), "school": ref("orgs", "alder"), "category": ref("categories", "tests"),
                 "resultValueMax": 10, "learningObjectiveSet": [{"source": "case", "learningObjectiveIds": ["x-1"]}]},
        "essay": {"title": "Essay", "assignDate": "2026-09-08T00:00:00.000Z", "dueDate": "2026-09-15T00:00:00.000Z",
                  "class": ref("classes", "m5b"), "school": ref("orgs", "birch"), "category": ref("categories", "work"),
                  "description": "Two pages"},
    },
    "results": {
        "ann-quiz": {"lineItem": ref("lineItems", "quiz"), "student": ref("users", "ann"),
                     "class": ref("classes", "m5a"), "scoreStatus": "fully graded", "score": 8.5,
                     "scoreDate": "2026-09-15", "late": "false"},
        "bo-quiz": {"lineItem": ref("lineItems", "quiz"), "student": ref("users", "bo"), "scoreStatus": "exempt",
                    "scoreDate": "2026-09-16"},
        "cy-essay": {"lineItem": ref("lineItems", "essay"), "student": ref("users", "cy"), "scoreStatus": "submitted",
                     "scoreDate": "2026-09-17", "textScore": "B"},
    },
    "assessmentLineItems": {"state": {"title": "State test", "metadata": {"purpose": "Summative"}}},
    "assessmentResults": {
        "ann-state": {"assessmentLineItem": ref("assessmentLineItems", "state"), "student": ref("users", "ann"),
                      "score": 512, "scoreDate": "2026-05-02", "scoreStatus": "fully graded", "scorePercentile": 71},
    },
}  # fmt: skip
"""By collection and by what the tests call them. `hidden` was never in reach, `left` is so no more, `gone` is gone."""
PARENTS = {
    "school": "alder", "class": "m5a", "course": "maths", "term": "fall", "student": "bo", "teacher": "tess",
    "user": "ann", "lineItem": "quiz",
}  # fmt: skip
"""Whose lists are asked for, where a path names a parent."""


@dataclass
class Laid:
    """A district that is served: its number, the program, its agreement, and when each row was last modified."""

    district: int
    client: str
    agreement: int
    at: dict[tuple[str, str], datetime] = field(default_factory=dict)


async def lay(store: Store, district: int, actor: Actor, *scopes: str) -> Laid:
    """Lay the records, and what the program's agreement reaches of them."""
    client, _ = await clients.add(store, district, "reader", scopes or ["students.read"], actor)
    laid = Laid(district, client, await agree(store, district, client))
    async with store.transaction(district) as c:
        await c.execute(
            text("INSERT INTO projection (district_id, number, at) VALUES (:district, 1, now())"),
            {"district": district},
        )
        for collection, records in RECORDS.items():
            for short, record in records.items():
                at = START + timedelta(seconds=len(laid.at))
                laid.at[collection, name(short)] = at
                if short == "gone":
                    await put(c, district, collection, short, record, at, gone=True)
                else:
                    await put(c, district, collection, short, record, at)
                if not short.startswith("hidden"):
                    await reach(c, laid, collection, short, at, visible=short != "left")
    return laid


async def put(
    c: Any, district: int, collection: str, short: str, record: dict[str, Any], at: datetime, *, gone: bool = False
) -> None:
    """One row of what is served, as a projection leaves it."""
    one = COLLECTIONS[collection]
    whole = {"sourcedId": name(short), **record}
    values = served.values(one, whole)
    doc = msgspec.json.encode({"sourcedId": name(short)} if gone else whole).decode()
    row = {"district_id": district, "sourced_id": name(short), "entity_id": name(short), "gone": gone, "at": at}
    columns = {**row, "doc": doc, **values}
    types = {column.name: "date" for column in one.columns if column.type == "date"}
    types |= {column.name: "timestamptz" for column in one.columns if column.type == "datetime"}
    types |= {"doc": "json", "entity_id": "uuid"}
    named = ", ".join(columns)
    given = ", ".join(f"CAST(:{key} AS {types[key]})" if key in types else f":{key}" for key in columns)
    await c.execute(text(f"INSERT INTO {one.table} ({named}) VALUES ({given})"), columns)


async def reach(c: Any, laid: Laid, collection: str, short: str, at: datetime, *, visible: bool = True) -> None:
    """That the agreement reaches a row, or no longer."""
    await c.execute(
        text(
            "INSERT INTO reach (district_id, agreement_id, collection, sourced_id, visible, at) "
            "VALUES (:district, :agreement, :collection, :id, :visible, :at)"
        ),
        {"district": laid.district, "agreement": laid.agreement, "collection": collection, "id": name(short),
         "visible": visible, "at": at},
    )  # fmt: skip


async def agree(
    store: Store,
    district: int,
    client: str,
    collections: Mapping[str, frozenset[str] | None] = WHOLE,
    until: date = date(2199, 7, 31),
) -> int:
    """An agreement in force, as it is once the district has approved it."""
    terms = Terms(
        purpose="planning", basis="school_official", signer="Director", document="contract 7",
        breach_contact="breach@vendor.example.org", begin=date(2026, 1, 1), until=until,
        collections=dict(collections), rule=Rule(),
    )  # fmt: skip
    async with store.transaction(district) as c:
        id = await c.scalar(
            text(
                "INSERT INTO vendor_agreement (district_id, client_id, version, begin_on, until_on) "
                "VALUES (:district, :client, 1, :begin, :until) RETURNING id"
            ),
            {"district": district, "client": client, "begin": terms.begin, "until": until},
        )
        await c.execute(
            text(
                "INSERT INTO vendor_terms (district_id, agreement_id, version, terms, actor) "
                "VALUES (:district, :id, 1, CAST(:terms AS json), '{}')"
            ),
            {"district": district, "id": id, "terms": vendors.as_json(terms)},
        )
    return int(id)


async def reagree(store: Store, laid: Laid, collections: Mapping[str, frozenset[str] | None]) -> None:
    """The same agreement says something else by now."""
    async with store.transaction(laid.district) as c:
        said = await c.scalar(text("SELECT terms FROM vendor_terms WHERE agreement_id = :id"), {"id": laid.agreement})
        terms = msgspec.structs.replace(vendors.from_json(said), collections=dict(collections))
        await c.execute(
            text("UPDATE vendor_terms SET terms = CAST(:terms AS json) WHERE agreement_id = :id"),
            {"terms": vendors.as_json(terms), "id": laid.agreement},
        )


def view(collection: str) -> View:
    return View(collection, collection)
