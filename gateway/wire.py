"""One published entity as the records that are served of it, and what keeps it from being served."""

from collections.abc import Collection as Several
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway import served
from gateway.mapping import Crosswalks
from gateway.served import COLLECTIONS, Collection
from mappings.oneroster.outward import family_roles, outward

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Gap:
    """What a record lacks. `target`: the entity that it would refer to and that is not served. `whole`: the standard
    demands it, so that the record is left out."""

    collection: str
    field: str
    target: str | None
    whole: bool


@dataclass(frozen=True)
class Draft:
    """A record before it is known what of that to which it refers is served. `family_of`: the students by whose
    schools somebody has roles."""

    collection: Collection
    record: dict[str, Any]
    gaps: tuple[Gap, ...]
    family_of: tuple[str, ...] = ()


def drafts(kind: str, id: str, doc: Mapping[str, Any], said: Mapping[str, Any], codes: Crosswalks) -> list[Draft]:
    """The records of an entity. `said` is what others say that belongs with it: `children`, `contacts`, `school` of its
    class, and of family `family`: (student, school, relation)."""
    written = outward(kind, id, doc, _NEVER, _Beside(said), codes)
    found = []
    for name, record in written.rows:
        collection = COLLECTIONS[name]
        del record["status"], record["dateLastModified"]  # they are columns
        family_of = _fill(name, record, doc, said)
        gaps = [
            Gap(name, gap.field, None, whole=True)
            for gap in written.gaps
            if gap.collection == name and not gap.filled and gap.field not in record
        ]
        found.append(Draft(collection, record, tuple(gaps), family_of))
    return found


def _fill(collection: str, record: dict[str, Any], doc: Mapping[str, Any], said: Mapping[str, Any]) -> tuple[str, ...]:
    """Put what the standard demands, nobody states, and something honest stands for; by whom roles were found."""
    if collection == "orgs":
        record.setdefault("identifier", record["sourcedId"])
    elif collection == "courses":
        record.setdefault("courseCode", record["sourcedId"])
    elif collection in ("results", "assessmentResults") and record.keys() & {"score", "textScore", "scorePercentile"}:
        record.setdefault("scoreStatus", "fully graded")
    elif collection == "users" and "roles" not in record and doc.get("population") == "contact":
        # Family of whom no role is told is family at the schools of its students.
        found = [one for one in said.get("family") or () if one[1]]
        if found:
            roles = family_roles((school, relation) for _, school, relation in found)
            record["roles"] = [{**role, "org": _org(role["org"]["sourcedId"])} for role in roles]
        return tuple(dict.fromkeys(student for student, _, _ in found))
    return ()


def referred(draft: Draft) -> Iterator[str]:
    """The ids of what a record refers to."""
    for _, link in _links(draft):
        yield link["sourcedId"]


@dataclass(frozen=True)
class Row:
    """A record as it is stored: its text, and what stands in its columns. `id` is that of the entity."""

    collection: Collection
    id: str
    sourced_id: str
    doc: str
    values: Mapping[str, Any]


def finish(draft: Draft, absent: Several[str], names: Mapping[str, str]) -> tuple[Row | None, list[Gap]]:
    """The row of a record without what refers to the absent; none where the standard demands what it lacks then.
    `names`: the sourcedIds of those entities that have another one than their id."""
    gaps = list(draft.gaps)
    record = draft.record
    for field, link in list(_links(draft)):
        if link["sourcedId"] in absent:
            record = _without(record, field, link["sourcedId"])
            demanded = draft.collection.fields[field].required and field not in record
            gaps.append(Gap(draft.collection.name, field, link["sourcedId"], demanded))
    if any(gap.whole for gap in gaps):
        return None, gaps
    id = record["sourcedId"]
    if names:
        record = _named(draft.collection, record, names)
    text = msgspec.json.encode(record).decode()
    values = served.values(draft.collection, record)
    if draft.family_of:
        values["family_of"] = draft.family_of
    return Row(draft.collection, id, record["sourcedId"], text, values), gaps


def _named(collection: Collection, record: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The record with sourcedIds in place of the ids of entities; what a program writes is referred to singly."""
    found = record | {"sourcedId": names.get(record["sourcedId"], record["sourcedId"])}
    for name, field in collection.fields.items():
        link = record.get(name)
        if field.type == "ref" and link is not None and link["sourcedId"] in names:
            id = names[link["sourcedId"]]
            found[name] = link | {"href": served.href(field.collection, id), "sourcedId": id}
    return found


def _links(draft: Draft) -> Iterator[tuple[str, Any]]:
    for name, stated in draft.record.items():
        if name == "roles" and draft.collection.name == "users":
            yield from ((name, role["org"]) for role in stated)
        elif (field := draft.collection.fields.get(name)) and field.collection:
            yield from ((name, link) for link in (stated if field.type == "refs" else [stated]))


def _without(record: dict[str, Any], field: str, id: str) -> dict[str, Any]:
    stated = record.get(field)
    kept = [one for one in stated if one.get("org", one)["sourcedId"] != id] if isinstance(stated, list) else []
    return {name: value for name, value in record.items() if name != field} | ({field: kept} if kept else {})


def _org(id: str) -> dict[str, Any]:
    return {"href": served.href("orgs", id), "sourcedId": id, "type": "org"}


@dataclass(frozen=True)
class _Beside:
    """What the mapping asks of other entities; the store has read it with the entity."""

    said: Mapping[str, Any]

    def href(self, collection: str, id: str) -> str:
        return served.href(collection, id)

    def children(self, kind: str, id: str) -> Sequence[str]:
        return self.said.get("children") or ()

    def contacts(self, student: str) -> Sequence[str]:
        return self.said.get("contacts") or ()

    def school(self, class_: str) -> str:
        return self.said.get("school") or ""


def referrers(kind: str) -> Iterator[tuple[Collection, str, bool]]:
    """Where an entity of a kind is referred to: the collection, its column, and whether that holds several."""
    targets = {one.name for one in COLLECTIONS.values() if one.kind == kind}
    for collection in COLLECTIONS.values():
        for field in collection.fields.values():
            if field.collection in targets:
                yield collection, field.columns[0].name, field.type == "refs"
    if kind == "organization":
        yield COLLECTIONS["users"], "roles_org_ids", True
