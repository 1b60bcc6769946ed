"""Plans at rest: drafts with a revision, finalized versions that nobody can change, and every act upon them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock
from gateway.errors import ConfigError, Refused
from gateway.plan_events import change
from gateway.store import attention
from gateway.store.database import Store
from gateway.store.registers import Actor


@dataclass(frozen=True)
class StoredPlan:
    """A plan as it stands: its working content, its state, the revision an edit must name, and its newest version with
    the state that one stands in. `kept`: the content as it is stored, with people by the ids they had then."""

    id: str
    student: str
    state: str
    content: dict[str, Any]
    revision: int
    version: int | None
    standing: str | None = None
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Placed:
    """Where a plan is after an act, and on which day time will move it."""

    state: str
    standing: str | None = None
    due_on: date | None = None
    outcome: str | None = None


@dataclass(frozen=True)
class StoredVersion:
    """A finalized version. `content` is the text its sha256 is of; the database refuses to change it."""

    plan: str
    version: int
    content: str
    sha256: str
    finalized_at: str
    finalized_by: dict[str, Any]
    guard_report: list[dict[str, Any]]


async def create(
    c: AsyncConnection, district: int, id: str, student: str, content: str, actor: Actor, state: str = "draft"
) -> None:
    """Keep a new plan."""
    await c.execute(
        text(
            "INSERT INTO plan (id, district_id, student_id, state, content) "
            "VALUES (CAST(:id AS uuid), :district, CAST(:student AS uuid), :state, CAST(:content AS json))"
        ),
        {"id": id, "district": district, "student": student, "content": content, "state": state},
    )
    await attention.name(c, district, id)
    await note(c, district, id, "created", actor, {"to": state, "revision": 1, **change({}, json.loads(content))})


def unknown(id: str) -> ConfigError:
    return ConfigError("plan-unknown", f"There is no plan {id}.", "`planbridge plan list` shows the plans.")


async def load(c: AsyncConnection, id: str) -> StoredPlan:
    """One plan, locked until the transaction ends. ConfigError when there is none. Whoever it names and was merged
    into another person since is named as that person; finalized versions stay as they are."""
    row = (
        await c.execute(
            text(
                "SELECT CAST(p.id AS text), CAST(planbridge_survivor(p.student_id) AS text), p.state, p.content, "
                "  p.revision, (SELECT max(version) FROM plan_version v WHERE v.plan_id = p.id), p.standing "
                "FROM plan p WHERE CAST(p.id AS text) = :id FOR UPDATE OF p"
            ),
            {"id": id.lower()},
        )
    ).one_or_none()
    if row is None:
        raise unknown(id)
    found = StoredPlan(*row)
    return replace(found, content=await followed(c, found.content) | {"student": found.student}, kept=found.content)


async def followed(c: AsyncConnection, content: dict[str, Any]) -> dict[str, Any]:
    """A plan's content with the ids that stand today for the people it names."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT CAST(entity_id AS text) AS gone, CAST(planbridge_survivor(entity_id) AS text) AS stays "
            "FROM identity_decision WHERE act = 'merge' AND undone_by IS NULL"
        )
    )
    written = json.dumps(content)
    for row in rows:
        written = written.replace(row.gone, row.stays)
    return dict(json.loads(written))


async def save(
    c: AsyncConnection,
    district: int,
    plan: StoredPlan,
    placed: Placed,
    content: str,
    act: str,
    actor: Actor,
    detail: dict[str, Any],
) -> int:
    """Write a plan back with the event that tells of it; returns the new revision. The caller holds it locked since
    `load`."""
    revision: int = await c.scalar(
        text(
            "UPDATE plan SET state = :state, standing = :standing, due_on = :due_on, "
            "outcome = coalesce(:outcome, outcome), content = CAST(:content AS json), revision = revision + 1, "
            "updated_at = now() WHERE id = CAST(:id AS uuid) RETURNING revision"
        ),
        {"id": plan.id, "content": content, **vars(placed)},
    )
    stands = {"standing": placed.standing} if placed.standing else {}
    moved = {"from": plan.state, "to": placed.state, **stands, "revision": revision}
    await note(c, district, plan.id, act, actor, moved | change(plan.kept, json.loads(content)) | detail)
    await attention.name(c, district, plan.id)
    await attention.look(c, district, [plan.id], clock.today())
    return revision


async def add_version(c: AsyncConnection, district: int, version: StoredVersion, amends: int | None) -> None:
    """Keep a finalized version for good."""
    await c.execute(
        text(
            "INSERT INTO plan_version (plan_id, version, district_id, content, sha256, finalized_at, finalized_by, "
            "  guard_report, amends) VALUES (CAST(:plan AS uuid), :version, :district, :content, :sha256, "
            "  CAST(:finalized_at AS timestamptz), CAST(:finalized_by AS json), CAST(:guard_report AS json), :amends)"
        ),
        {
            "plan": version.plan,
            "version": version.version,
            "district": district,
            "content": version.content,
            "sha256": version.sha256,
            "finalized_at": version.finalized_at,
            "finalized_by": json.dumps(version.finalized_by),
            "guard_report": json.dumps(version.guard_report),
            "amends": amends,
        },
    )
    await attention.name(c, district, version.plan)
    await attention.look(c, district, [version.plan], clock.today())


async def version(c: AsyncConnection, plan: str, number: int | None = None) -> StoredVersion:
    """A finalized version, the newest unless a number is given. Refused when nothing is finalized."""
    row = (
        await c.execute(
            text(
                "SELECT CAST(plan_id AS text), version, content, sha256, CAST(finalized_at AS text), finalized_by, "
                "  guard_report FROM plan_version WHERE CAST(plan_id AS text) = :plan "
                "AND version = coalesce(CAST(:number AS int), version) ORDER BY version DESC LIMIT 1"
            ),
            {"plan": plan, "number": number},
        )
    ).one_or_none()
    if row is None:
        raise _not_finalized()
    return StoredVersion(*row)


async def versions(c: AsyncConnection, plan: str) -> list[dict[str, Any]]:
    """The finalized versions of a plan, the newest first, without what they say."""
    rows = await c.execute(
        text(
            "SELECT version, sha256, finalized_at, amends FROM plan_version WHERE CAST(plan_id AS text) = :plan "
            "ORDER BY version DESC"
        ),
        {"plan": plan},
    )
    return [dict(row._mapping) for row in rows]


async def deliverables(c: AsyncConnection, wanted: Sequence[tuple[str, int | None]]) -> list[StoredVersion | Refused]:
    """The version of each plan that is sent, the newest unless a number is given; or why nothing of it is."""
    rows = await c.execute(
        text(
            "SELECT p.state, CAST(v.plan_id AS text), v.version, v.content, v.sha256, CAST(v.finalized_at AS text), "
            "  v.finalized_by, v.guard_report "
            "FROM json_array_elements(CAST(:wanted AS json)) WITH ORDINALITY w(one, place) LEFT JOIN ("
            "  plan p CROSS JOIN LATERAL (SELECT * FROM plan_version o WHERE o.plan_id = p.id) v) "
            "ON p.id = CAST(w.one->>0 AS uuid) AND v.version = coalesce(CAST(w.one->>1 AS int), ("
            "  SELECT max(version) FROM plan_version n WHERE n.plan_id = p.id)) ORDER BY w.place"
        ),
        {"wanted": json.dumps([list(one) for one in wanted if is_id(one[0])])},
    )
    found = iter(rows)
    return [_deliverable(next(found)) if is_id(plan) else _not_finalized() for plan, _ in wanted]


def is_id(plan: str) -> bool:
    """Whether something may be a plan's id at all."""
    try:
        UUID(plan)
    except ValueError:
        return False
    return True


def _deliverable(row: Row[Any]) -> StoredVersion | Refused:
    state, *version = tuple(row)
    if version[0] is None:
        return _not_finalized()
    if state in ("revoked", "entered_in_error", "archived"):
        return Refused(
            "plan-taken-back",
            f"Nothing of this plan is sent any more: it is in state {state}.",
            "`planbridge push` with `--withdraw` takes back what a destination still has of it.",
        )
    return StoredVersion(*version)


def _not_finalized() -> Refused:
    return Refused("plan-not-finalized", "This plan has no finalized version.", "Finalize it first.")


async def closed(c: AsyncConnection, plans: Sequence[str]) -> set[str]:
    """Those of these plans that came to their end."""
    rows = await c.execute(
        text("SELECT CAST(id AS text) FROM plan WHERE id = ANY(CAST(:plans AS uuid[])) AND state = 'closed'"),
        {"plans": list(plans)},
    )
    return set(rows.scalars())


async def teams(c: AsyncConnection, plans: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Plan -> who was put on its team by its newest version, and is on it still: whoever was taken off a draft sees
    nothing more from then on, whoever was added to one sees nothing yet."""
    rows = await c.execute(
        text(
            "SELECT CAST(p.id AS text) AS id, coalesce(p.content->'team', '[]') AS now, coalesce((SELECT "
            "  CAST(v.content AS json)->'team' FROM plan_version v WHERE v.plan_id = p.id "
            "  ORDER BY v.version DESC LIMIT 1), '[]') AS agreed FROM plan p WHERE p.id = ANY(CAST(:plans AS uuid[]))"
        ),
        {"plans": list(plans)},
    )
    found = {}
    for row in rows:
        agreed = {(one["who"] if isinstance(one["who"], str) else None, one["role"]) for one in row.agreed}
        found[row.id] = [one for one in row.now if isinstance(one["who"], str) and (one["who"], one["role"]) in agreed]
    return found


async def holders(c: AsyncConnection, plan: str) -> list[str]:
    """Destinations that have something of any version of a plan."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT n.name FROM ledger l JOIN delivery d ON d.id = l.delivery_id "
            "JOIN connection n ON n.id = l.connection_id WHERE CAST(d.plan_id AS text) = :plan "
            "AND l.sent_sha256 IS NOT NULL AND l.ended_on IS NULL AND NOT l.shared ORDER BY 1"
        ),
        {"plan": plan},
    )
    return list(rows.scalars())


async def due(store: Store, today: date) -> list[tuple[int, str]]:
    """(district, plan) of every plan that time moves today. Read as the owner, over all districts: it is ids only, and
    a hint; whoever holds the plan decides."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text("SELECT district_id, CAST(id AS text) AS id FROM plan WHERE due_on <= :today ORDER BY due_on, id"),
            {"today": today},
        )
        return [(row.district_id, row.id) for row in rows]


async def note_not_due(c: AsyncConnection, plan: str) -> None:
    """Time has done what it could: a person is next."""
    await c.execute(text("UPDATE plan SET due_on = NULL WHERE id = CAST(:plan AS uuid)"), {"plan": plan})


async def note(c: AsyncConnection, district: int, plan: str, act: str, actor: Actor, detail: dict[str, Any]) -> None:
    """Keep who did what to a plan."""
    await c.execute(
        text(
            "INSERT INTO plan_event (district_id, plan_id, act, actor, detail) "
            "VALUES (:district, CAST(:plan AS uuid), :act, CAST(:actor AS json), CAST(:detail AS json))"
        ),
        {"district": district, "plan": plan, "act": act, "actor": actor.as_json(), "detail": json.dumps(detail)},
    )


async def listed(c: AsyncConnection) -> list[dict[str, Any]]:
    """Every plan: id, student, state, revision, newest version."""
    rows = await c.execute(
        text(
            "SELECT CAST(p.id AS text) AS id, CAST(planbridge_survivor(p.student_id) AS text) AS student, p.state, "
            "  p.standing, p.outcome, p.revision, "
            "  (SELECT max(version) FROM plan_version v WHERE v.plan_id = p.id) AS version, p.updated_at "
            "FROM plan p ORDER BY p.created_at"
        )
    )
    return [dict(row._mapping) for row in rows]


async def events(c: AsyncConnection, plan: str) -> list[dict[str, Any]]:
    """What was done to a plan, oldest first."""
    rows = await c.execute(
        text("SELECT seq, act, actor, detail, at FROM plan_event WHERE CAST(plan_id AS text) = :plan ORDER BY seq"),
        {"plan": plan},
    )
    return [dict(row._mapping) for row in rows]
