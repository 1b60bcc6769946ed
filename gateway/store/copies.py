"""A family's copy: everything that is kept about one student, found in the same places as a purge would find it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.access import SECTIONS
from gateway.errors import Refused
from gateway.store import disclosures, gathering, standing, traces
from gateway.store.database import Store
from gateway.store.disclosures import Disclosure
from gateway.store.registers import Actor, log_act

INNER = {
    "change": "earlier states of what is here, kept for a while to take a mistake back",
    "claim": "what is here, once more by its source",
    "claim_history": "earlier states",
    "client_token": "what lets a program in for an hour",
    "difference": "which fields two sources see differently",
    "ending": "that something ended with a year change",
    "identity_conflict": "names other students too",
    "identity_decision": "names other students too",
    "identity_proposal": "names other students too",
    "leniency": "counts of spellings",
    "link": "the keys of the records that are here",
    "link_history": "earlier states",
    "person_number": "what is here, once more for comparisons",
    "person_trait": "what is here, once more for comparisons",
    "preview": "runs that nobody approved yet",
    "quality_finding": "counts",
    "record": "as the sources sent it, for some days; what was read of it is here",
    "record_history": "earlier states",
    "reject": "records that could not be read: whom they are about is not certain",
    "staged": "runs that are under way",
    "waiting": "references that are not resolved yet",
}
"""Places of a student that are no part of the copy, and why. Every other place is."""

WITHHELD = {"record_entry": "t.restricted"}
"""Restricted notes belong to whoever wrote them: they are counted, and asked for by the district's own process."""
HIDDEN = ("district_id", "salt", "chain_ref", "sealed_body")


@dataclass
class Copy:
    """Part -> rows, each as JSON. `left_out`: what is kept and no part of it, and how much. `names`: what the ids of
    schools, classes and staff in it stand for."""

    student: str
    parts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


async def copy(store: Store, district: int, student: str, recipient: str, actor: Actor) -> Copy:
    """Everything about a student, for the one who gets it (a family member's id, or empty: the student of age). That
    it was made is an act."""
    async with store.transaction(district) as c:
        await _refuse_without_right(store, c, student, recipient)
    async with store.owner.begin() as c:  # its working tables see every place; each statement names the district
        await gathering.begin(c, district)
        await gathering.note_person(c, student)
        await gathering.gather(c, district, store.secrets.open)
        found = Copy(student)
        await _others(c, district, student, recipient, found)
        for place in traces.PLACES:
            if not place.blank and place.table not in INNER and place.table != "entity":
                found.parts[place.table] = await _rows(c, district, place.table, place.theirs, found)
        found.parts["act"] = await _acts(c, district, found)
        found.names = await _names(c, district, found)
        told = {"rows": {part: len(rows) for part, rows in found.parts.items() if rows}, "left_out": found.left_out}
        await log_act(c, district, actor, "family-copy", student, told)
        await disclosures.note(c, district, _line(student, recipient), actor)
    return found


def _line(student: str, recipient: str) -> Disclosure:
    """Of everything but what is withheld, whatever of it there is."""
    shown = [section for section in SECTIONS if section != "restricted_notes"]
    who, basis = ("guardian", "They asked to see the record.") if recipient else ("student", "The record is theirs.")
    return Disclosure(student, "read", f"A copy for the {who}.", True, who, "planning", basis, shown, recipient or None)


async def _refuse_without_right(store: Store, c: AsyncConnection, student: str, recipient: str) -> None:
    """A `no` from any source or from the district refuses, as with a consultation."""
    if not recipient:
        return
    rows = await c.execute(
        text(
            "SELECT doc->>'education_rights' AS rights FROM entity WHERE kind = 'relationship' "
            "AND doc->>'student' = :student AND doc->>'contact' = :recipient"
        ),
        {"student": student, "recipient": recipient},
    )
    stated = list(rows.scalars())
    if not stated or "no" in stated or await standing.restricted(store, c, student, [recipient]):
        raise Refused(
            "copy-without-right",
            "This person has no right to this student's record, by what the sources and the district say.",
            "Ask whoever keeps the district's records; a source's word is corrected there.",
        )


async def _others(c: AsyncConnection, district: int, student: str, recipient: str, found: Copy) -> None:
    """The roster's facts. Of the family only who gets the copy: how the others can be reached may be kept from them."""
    rows = await c.execute(
        text(
            "SELECT t.kind, CAST(t.id AS text) AS id, t.doc, "
            "  (t.kind = 'person' AND CAST(t.id AS text) NOT IN (:student, :recipient)) "
            "  OR (t.kind = 'relationship' AND t.doc->>'contact' <> :recipient) AS others FROM entity t "
            "WHERE t.district_id = :district AND EXISTS ("
            "  SELECT FROM trace_entity e WHERE e.kind = t.kind AND e.id = t.id) ORDER BY t.kind, t.id"
        ),
        {"district": district, "student": student, "recipient": recipient},
    )
    for row in rows:
        if row.others:
            found.left_out["other family members"] = found.left_out.get("other family members", 0) + 1
        else:
            found.parts.setdefault(row.kind, []).append({"id": row.id, **row.doc})


async def _rows(c: AsyncConnection, district: int, table: str, theirs: str, found: Copy) -> list[dict[str, Any]]:
    values = {"district": district}
    withheld = WITHHELD.get(table, "false")
    of = f"FROM {table} t WHERE t.district_id = :district AND ({theirs})"
    if table in WITHHELD:
        n = await c.scalar(
            text(f"SELECT count(*) {of} AND {withheld}"),
            values,
        )
        if n:
            found.left_out["restricted notes"] = int(n)
    rows = await c.execute(
        text(f"SELECT to_json(t) AS doc {of} AND NOT {withheld}"),
        values,
    )
    return [{name: value for name, value in row.doc.items() if name not in HIDDEN} for row in rows]


async def _acts(c: AsyncConnection, district: int, found: Copy) -> list[dict[str, Any]]:
    """Acts about the student, a plan or a request of theirs."""
    ids: Sequence[str] = [found.student, *(row["id"] for part in ("plan", "amendment") for row in found.parts[part])]
    rows = await c.execute(
        text(
            "SELECT at, actor, act, subject, detail FROM act WHERE district_id = :district AND EXISTS ("
            "  SELECT FROM unnest(CAST(:ids AS text[])) id WHERE position(id in concat(subject, ' ', detail)) > 0) "
            "ORDER BY seq"
        ),
        {"district": district, "ids": ids},
    )
    return [dict(row._mapping) for row in rows]


async def _names(c: AsyncConnection, district: int, found: Copy) -> dict[str, str]:
    """What ids stand for that are neither the student's nor the family's."""
    rows = await c.execute(
        text(
            "SELECT CAST(e.id AS text) AS id, coalesce(e.doc->>'name', e.doc->>'title', "
            "  concat_ws(' ', e.doc->>'given_name', e.doc->>'family_name')) AS name FROM entity e "
            "WHERE e.district_id = :district AND CAST(e.id AS text) = ANY(:ids) "
            "AND (e.kind <> 'person' OR e.doc->>'population' = 'staff')"
        ),
        {"district": district, "ids": sorted(_ids(found.parts))},
    )
    return {row.id: row.name for row in rows if row.name}


def _ids(value: object) -> set[str]:
    if isinstance(value, dict | list):
        return set().union(*(_ids(part) for part in (value.values() if isinstance(value, dict) else value)))
    return {value} if isinstance(value, str) and len(value) == 36 and value.count("-") == 4 else set()
