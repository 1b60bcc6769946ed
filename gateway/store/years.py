"""Year changes as they are kept, and what a run does across one: counts for each school, and why students ended."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError, Refused
from gateway.guard import Hold
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act
from gateway.store.runs import Attempt
from gateway.year import (
    Assignments,
    Change,
    Doc,
    Ending,
    Moved,
    School,
    ending_assignments,
    highest,
    home,
    is_over,
    is_promoted,
    reason,
    together,
)

Told = dict[str, Any]
"""`year`: the change, and for each school what happens there; `assignments`: those of staff that end together."""


@dataclass(frozen=True)
class Seen:
    """The run of a connection that a person was shown, and the change set it named."""

    run: int
    digest: str


async def announce(
    store: Store, district: int, last_day: date, first_day: date, because: str, actor: Actor, today: date
) -> Change:
    """Announce a year change: what is published now is how the old year stood. Refused without a reason, or while
    another one is announced; ConfigError where the days are in the wrong order, or it would be over already."""
    if not because.strip():
        raise Refused("reason-missing", "To announce a year change needs a reason.", "Give --because.")
    async with store.transaction(district) as c:
        if found := await announced(c, today):
            raise Refused(
                "year-announced",
                f"Year change {found.id} is announced already, from {found.last_day} to {found.first_day}.",
                "`planbridge year cancel` takes it back.",
            )
        grades = await c.execute(
            text(
                "SELECT DISTINCT json_array_elements_text(doc->'grades') FROM entity "
                "WHERE kind = 'person' AND doc->>'population' = 'student'"
            )
        )
        wanted = Change(0, last_day, first_day, 0, highest(grades.scalars()))
        if first_day <= last_day or (today > last_day and not wanted.lasts(today)):
            raise ConfigError(
                "year-days",
                f"No year change leads from {last_day} to {first_day} today.",
                "Give the last day of the old year and the first day of the new one, before both are long over.",
            )
        row = await c.execute(
            text(
                "INSERT INTO year_change (district_id, last_day, first_day, because, actor, publication, "
                "  highest_grade) SELECT :district, :last_day, :first_day, :because, CAST(:actor AS json), "
                "  coalesce((SELECT max(id) FROM publication), 0), :highest RETURNING *"
            ),
            {
                "district": district,
                "last_day": last_day,
                "first_day": first_day,
                "because": because,
                "actor": actor.as_json(),
                "highest": wanted.highest_grade,
            },
        )
        made = _change(row.one())
        await log_act(c, district, actor, "year-announce", str(made.id), {"because": because} | made.told())
        return made


async def announced(c: AsyncConnection, today: date) -> Change | None:
    """The year change that is announced and not over: what happens today belongs to it, or it is still to come."""
    rows = await c.execute(text("SELECT * FROM year_change WHERE cancelled IS NULL ORDER BY last_day"))
    found = [_change(row) for row in rows]
    return next((one for one in found if one.lasts(today) or one.last_day > today), None)


async def current(c: AsyncConnection, today: date) -> Change | None:
    """The year change that what happens today belongs to."""
    found = await announced(c, today)
    return found if found and found.lasts(today) else None


async def needed(c: AsyncConnection, today: date) -> Change:
    """The one that is announced. Refused where none is."""
    found = await announced(c, today)
    if found is None:
        raise Refused("year-not-announced", "No year change is announced.", "`planbridge year announce` begins one.")
    return found


def _change(row: Any) -> Change:
    return Change(row.id, row.last_day, row.first_day, row.publication, row.highest_grade)


async def cancel(c: AsyncConnection, district: int, change: Change, because: str, actor: Actor) -> None:
    """Take an announcement back; what was confirmed and published stays."""
    if not because.strip():
        raise Refused("reason-missing", "To cancel a year change needs a reason.", "Give --because.")
    await c.execute(
        text("UPDATE year_change SET cancelled = CAST(:by AS json) WHERE id = :id"),
        {"id": change.id, "by": json.dumps({"actor": json.loads(actor.as_json()), "because": because})},
    )
    await log_act(c, district, actor, "year-cancel", str(change.id), {"because": because})


async def listed(c: AsyncConnection) -> list[dict[str, Any]]:
    """Every year change of the district, the newest first, with what was confirmed: connection, run, by whom, why."""
    rows = await c.execute(
        text(
            "SELECT y.id, y.last_day, y.first_day, y.because, y.actor, y.at, y.highest_grade, y.cancelled, "
            "  coalesce((SELECT json_agg(json_build_object('at', a.at, 'actor', a.actor, 'connection', "
            "      a.detail->'connection', 'run', a.detail->'run', 'because', a.detail->'because') ORDER BY a.seq) "
            "    FROM act a WHERE a.act = 'year-confirm' AND a.subject = CAST(y.id AS text)), '[]') AS confirmed "
            "FROM year_change y ORDER BY y.id DESC"
        )
    )
    return [dict(row._mapping) for row in rows]


async def concerned(c: AsyncConnection) -> set[int]:
    """The connections a year change is looked at in: those that are pulled, or are to take another one's place; not
    those that are only delivered to, or whose place was taken."""
    rows = await c.execute(
        text(
            "SELECT connection_id FROM run WHERE kind = 'pull' AND mode <> 'dry' UNION SELECT new_id FROM succession "
            "EXCEPT SELECT old_id FROM succession WHERE done_at IS NOT NULL"
        )
    )
    return set(rows.scalars())


async def see(c: AsyncConnection, change: Change, seen: Mapping[int, Seen]) -> None:
    """Keep which runs a person was shown, by connection, in place of what was kept before."""
    await c.execute(
        text("UPDATE year_change SET previewed = CAST(:seen AS json) WHERE id = :id"),
        {"id": change.id, "seen": json.dumps({key: [one.run, one.digest] for key, one in seen.items()})},
    )


async def seen(c: AsyncConnection, change: Change) -> dict[int, Seen]:
    """Connection -> what a person was shown last and has not confirmed. Refused where there is nothing."""
    kept = await c.scalar(text("SELECT previewed FROM year_change WHERE id = :id"), {"id": change.id})
    if not kept:
        raise Refused(
            "year-not-previewed", "Nothing was previewed that is to be confirmed.", "`planbridge year preview`"
        )
    return {int(key): Seen(run, digest) for key, (run, digest) in kept.items()}


async def shown(c: AsyncConnection, run: int) -> Seen | None:
    """What a held or compared run names its change set by; None where it does not say what it does to schools."""
    found = (
        await c.execute(
            text(
                "SELECT counts->'year' IS NOT NULL AS told, coalesce(counts->>'digest', (SELECT digest FROM hold "
                "  WHERE run_id = :run AND state = 'open' ORDER BY id LIMIT 1)) AS digest FROM run WHERE id = :run"
            ),
            {"run": run},
        )
    ).one()
    return Seen(run, found.digest) if found.told and found.digest else None


async def approve_unseen(c: AsyncConnection, district: int, run: int, seen: Seen, actor: Actor, because: str) -> None:
    """Let a run that is only just asked for publish what a dry run has shown, without asking again; where it would do
    something else, it is measured as any other."""
    shown = Hold("year-change", "", f"What run {seen.run} showed of the year change was confirmed.", 0, 0)
    await c.execute(
        text(
            "INSERT INTO hold (district_id, run_id, code, collection, reason, affected, known, effect, digest, state, "
            "  decided_by, decided_because, decided_at) VALUES (:district, :run, :code, :collection, :reason, "
            "  :affected, :known, :effect, :digest, 'approved', :actor, :because, now())"
        ),
        {
            "district": district,
            "run": run,
            "digest": seen.digest,
            "actor": actor.as_json(),
            "because": because,
        }
        | vars(shown),
    )


# --- what a run does


_FIRST_AND_LAST = """
    SELECT f.kind, f.entity_id AS id, f.before, e.doc AS after FROM (
        SELECT DISTINCT ON (kind, entity_id) kind, entity_id, before FROM change
        WHERE publication = :publication AND kind = ANY(:kinds) ORDER BY kind, entity_id, seq
    ) f LEFT JOIN entity e ON e.kind = f.kind AND e.id = f.entity_id
    WHERE f.before IS NOT NULL OR e.doc IS NOT NULL
"""


async def across(
    c: AsyncConnection,
    attempt: Attempt,
    publication: int,
    published: Mapping[str, Mapping[str, int]],
    today: date,
    *,
    succeeds: bool,
) -> Told:
    """What this transaction published (`published`: kind -> op -> how many), as far as a year change is told of it;
    what ends is written down with its reason. `succeeds`: its connection has just taken another one's place."""
    change = await current(c, today)
    people = await _people(c, publication) if published.get("person", {}).keys() - {"added"} else []
    endings = ending_assignments((one for one in people if _population(one) == "staff"), today)
    many = together(endings)
    names = await _schools(c, publication) if many or change else {}
    lists = [Assignments(names.get(place, place), day, n).told() for (place, day), n in sorted(many.items())]
    told: Told = {"assignments": lists} if lists else {}
    if change is not None:
        reasons = await _reasons(c, change, people, today)
        await _keep(c, attempt, publication, "person", reasons.items())
        schools = await _count_teaching(c, publication, names)
        _count_people(schools, names, people, reasons, endings)
        told["year"] = change.told() | {"schools": [one.told() for _, one in sorted(schools.items())]}
    if succeeds:
        await c.execute(text(_NOT_CARRIED_OVER), {"district": attempt.district, "publication": publication})
    return told


async def _people(c: AsyncConnection, publication: int) -> list[Moved]:
    """Students and staff who were there before, as they were and are, without those in whom nothing of this differs."""
    rows = await c.execute(
        text(
            f"SELECT CAST(id AS text) AS id, before, after FROM ({_FIRST_AND_LAST}) p WHERE before IS NOT NULL "
            "AND before->>'population' <> 'contact' AND (before->>'roles' IS DISTINCT FROM after->>'roles' "
            "  OR before->>'grades' IS DISTINCT FROM after->>'grades')"
        ),
        {"publication": publication, "kinds": ["person"]},
    )
    return [Moved(row.id, row.before, row.after) for row in rows]


def _population(one: Moved) -> str:
    return str((one.before or {}).get("population"))


async def _schools(c: AsyncConnection, publication: int) -> dict[str, str]:
    """Organization -> its name, also of those this transaction has removed."""
    rows = await c.execute(
        text(
            f"SELECT CAST(id AS text), before->>'name' FROM ({_FIRST_AND_LAST}) o WHERE after IS NULL "
            "UNION ALL SELECT CAST(id AS text), doc->>'name' FROM entity WHERE kind = 'organization'"
        ),
        {"publication": publication, "kinds": ["organization"]},
    )
    return {row[0]: row[1] for row in rows}


async def _reasons(c: AsyncConnection, change: Change, people: Sequence[Moved], today: date) -> dict[str, str]:
    """Student -> why they end in this transaction."""
    gone = [one for one in people if _population(one) == "student" and is_over(one.after, today)]
    rows = await c.execute(
        text(
            "SELECT DISTINCT ON (h.entity_id) CAST(h.entity_id AS text) AS id, h.before, EXISTS (SELECT FROM ending g "
            "  WHERE g.kind = 'person' AND g.entity_id = h.entity_id AND g.publication > :since) AS ended "
            "FROM change h WHERE h.kind = 'person' AND h.publication > :since "
            "AND h.entity_id = ANY(CAST(:ids AS uuid[])) ORDER BY h.entity_id, h.seq"
        ),
        {"since": change.publication, "ids": [one.id for one in gone]},
    )
    stood: dict[str, tuple[Doc | None, bool]] = {row.id: (row.before, row.ended) for row in rows}
    found = {}
    for one in gone:
        before, ended = stood[one.id]
        why = reason(before, change)
        if why is not None and not (ended and is_over(one.before, today)):
            found[one.id] = why
    return found


async def _keep(
    c: AsyncConnection, attempt: Attempt, publication: int, kind: str, reasons: Iterable[tuple[str, str]]
) -> None:
    await c.execute(
        text(
            "INSERT INTO ending (district_id, publication, kind, entity_id, reason) "
            "SELECT :district, :publication, :kind, CAST(j->>0 AS uuid), j->>1 "
            "FROM json_array_elements(CAST(:rows AS json)) j"
        ),
        {
            "district": attempt.district,
            "publication": publication,
            "kind": kind,
            "rows": json.dumps(list(reasons)),
        },
    )


_NOT_CARRIED_OVER = """
    INSERT INTO ending (district_id, publication, kind, entity_id, reason)
    SELECT DISTINCT :district, :publication, h.kind, h.entity_id, 'not-carried-over' FROM change h
    WHERE h.publication = :publication AND h.op = 'removed' AND NOT EXISTS (
        SELECT FROM entity e WHERE e.kind = h.kind AND e.id = h.entity_id)
    ON CONFLICT DO NOTHING
"""
_TEACHING = f"""
    WITH taught AS MATERIALIZED ({_FIRST_AND_LAST}), place AS MATERIALIZED (
        SELECT kind, before, after, coalesce(after->>'school', before->>'school', (
            SELECT k.doc->>'school' FROM entity k
            WHERE k.kind = 'class' AND k.id = CAST(coalesce(after, before)->>'class' AS uuid))) AS school FROM taught
    )
    SELECT school, count(*) FILTER (WHERE kind = 'class' AND after IS NULL) AS sections_ended,
           count(*) FILTER (WHERE kind = 'enrollment' AND after IS NULL) AS enrollments_ended,
           count(*) FILTER (WHERE kind = 'class' AND before IS NULL) AS sections_new
    FROM place GROUP BY school
"""


async def _count_teaching(c: AsyncConnection, publication: int, names: Mapping[str, str]) -> dict[str, School]:
    rows = await c.execute(text(_TEACHING), {"publication": publication, "kinds": ["class", "enrollment"]})
    return {
        row.school or "": School(
            names.get(row.school or "", row.school or ""),
            sections_ended=row.sections_ended,
            enrollments_ended=row.enrollments_ended,
            sections_new=row.sections_new,
        )
        for row in rows
        if row.sections_ended or row.enrollments_ended or row.sections_new
    }


def _count_people(
    schools: dict[str, School],
    names: Mapping[str, str],
    people: Sequence[Moved],
    reasons: Mapping[str, str],
    endings: Sequence[Ending],
) -> None:
    def at(place: str | None) -> School:
        return schools.setdefault(place or "", School(names.get(place or "", place or "")))

    for one in people:
        why = reasons.get(one.id)
        if why == "graduated":
            at(home(one.before)).graduates += 1
        elif why == "left":
            at(home(one.before)).leavers += 1
        elif _population(one) == "student" and is_promoted(one):
            at(home(one.after)).promoted += 1
    for place, _ in endings:
        at(place).assignments_ended += 1
