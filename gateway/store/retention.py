"""What is removed when its time is over, and the proof that it was."""

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.settings import Settings
from gateway.store import chain, purges
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

BATCH = 50_000
RETENTION = Actor("retention", "system")
UNDOABLE = 30
"""Runs of each connection whose history is kept, however old it is."""


@dataclass(frozen=True)
class Rule:
    """What goes after so many days: rows `t` of a table, or what stands in one column of them.

    `days` names the setting; without one it goes as soon as it is of no use any more. `due` follows FROM.
    """

    name: str
    days: str
    table: str
    due: str
    column: str = ""

    def lasts(self, settings: Settings) -> int:
        return int(getattr(settings, self.days)) if self.days else 0


_OLD = "now() - make_interval(days => :days)"
_OVER = "u.state NOT IN ('queued', 'pulling', 'resolving', 'held', 'approved')"
# The first run of each connection whose history is kept whole. One that took another's place has its history too; of
# one whose place was taken no run can be undone any more.
_KEPT = f"""(
    WITH RECURSIVE had AS (
        SELECT id AS connection_id, id AS by FROM connection
        UNION ALL
        SELECT h.connection_id, s.old_id FROM had h JOIN succession s ON s.new_id = h.by AND s.done_at IS NOT NULL)
    SELECT n.id AS connection_id, least(
        CASE WHEN t.old_id IS NULL THEN
            (SELECT min(id) FROM (SELECT id FROM run WHERE connection_id = n.id AND publication IS NOT NULL
                ORDER BY id DESC LIMIT {UNDOABLE}) newest)
        ELSE (SELECT max(id) + 1 FROM run WHERE connection_id = n.id) END,
        (SELECT min(r.id) FROM run r JOIN had h ON h.by = r.connection_id
            WHERE h.connection_id = n.id AND coalesce(r.finished_at, now()) >= {_OLD})) AS first
    FROM connection n LEFT JOIN succession t ON t.old_id = n.id AND t.done_at IS NOT NULL) k"""
_FORGOTTEN = f"{{0}} t JOIN {_KEPT} ON k.connection_id = t.connection_id AND t.ended_by < k.first"

RULES = (
    Rule("payloads", "payload_days", "record", f"record t WHERE t.body IS NOT NULL AND t.fetched_at < {_OLD}", "body"),
    Rule(
        "payloads of replaced records",
        "payload_days",
        "record_history",
        f"record_history t WHERE t.body IS NOT NULL AND t.fetched_at < {_OLD}",
        "body",
    ),
    Rule(
        "payloads of held runs",
        "payload_days",
        "staged",
        f"staged t JOIN run u ON u.id = t.run_id WHERE t.body IS NOT NULL AND u.created_at < {_OLD}",
        "body",
    ),
    Rule(
        "payloads of what was set aside",
        "reject_days",
        "reject",
        f"reject t WHERE t.sealed_body IS NOT NULL AND t.at < {_OLD}",
        "sealed_body",
    ),
    Rule(
        "codes of what was set aside",
        "reject_days",
        "reject",
        f"reject t WHERE t.unmapped IS NOT NULL AND t.at < {_OLD}",
        "unmapped",
    ),
    Rule("rows of finished runs", "", "staged", f"staged t JOIN run u ON u.id = t.run_id WHERE {_OVER}"),
    Rule(
        "previews of finished runs",
        "payload_days",
        "preview",
        f"preview t JOIN run u ON u.id = t.run_id WHERE {_OVER} AND u.finished_at < {_OLD}",
    ),
    Rule("replaced records", "history_days", "record_history", _FORGOTTEN.format("record_history")),
    Rule("replaced claims", "history_days", "claim_history", _FORGOTTEN.format("claim_history")),
    Rule("replaced links", "history_days", "link_history", _FORGOTTEN.format("link_history")),
    Rule(
        "what entities were before",
        "history_days",
        "change",
        "change t JOIN publication p ON p.id = t.publication LEFT JOIN run u ON u.id = p.run_id "
        f"LEFT JOIN {_KEPT} ON k.connection_id = u.connection_id "
        f"WHERE CASE WHEN u.connection_id IS NULL THEN p.at < {_OLD} ELSE u.id < k.first END",
    ),
    Rule(
        "why entities ended",
        "history_days",
        "ending",
        "ending t JOIN publication p ON p.id = t.publication LEFT JOIN run u ON u.id = p.run_id "
        f"LEFT JOIN {_KEPT} ON k.connection_id = u.connection_id "
        f"WHERE CASE WHEN u.connection_id IS NULL THEN p.at < {_OLD} ELSE u.id < k.first END",
    ),
    Rule(
        "what was set aside",
        "history_days",
        "reject",
        f"reject t JOIN {_KEPT} ON k.connection_id = t.connection_id AND t.run_id < k.first",
    ),
    Rule(
        "what was read leniently",
        "history_days",
        "leniency",
        f"leniency t JOIN {_KEPT} ON k.connection_id = t.connection_id AND t.run_id < k.first",
    ),
    Rule(
        "reports of data quality",
        "history_days",
        "quality_report",
        f"quality_report t JOIN {_KEPT} ON k.connection_id = t.connection_id AND t.run_id < k.first",
    ),
    Rule(
        "notices",
        "notice_days",
        "notice",
        f"notice t WHERE t.at < {_OLD} "
        "AND NOT EXISTS (SELECT FROM sending s WHERE s.notice_id = t.id AND s.state = 'queued')",
    ),
    Rule(
        "answers to requests that may be repeated",
        "",
        "repeatable",
        "repeatable t WHERE t.begun_at < now() - interval '7 days'",
    ),
    Rule("how far programs walked", "", "walked", "walked t WHERE t.on_day < current_date - 1"),
    Rule("attempts to send events", "job_days", "webhook_attempt", f"webhook_attempt t WHERE t.at < {_OLD}"),
    Rule(
        "events that could not be sent",
        "job_days",
        "webhook_message",
        f"webhook_message t WHERE t.state = 'parked' AND t.queued_at < {_OLD}",
    ),
    Rule("expired tokens", "", "client_token", "client_token t WHERE t.expires_at < now()"),
    Rule("what programs may not send twice", "", "used_once", "used_once t WHERE t.until < now()"),
    Rule("launches that may not come twice", "", "lti_used", "lti_used t WHERE t.until < now()"),
    Rule("logins that nobody finished", "", "lti_login", "lti_login t WHERE t.expires_at < now()"),
    Rule("pages in a platform that are over", "", "lti_session", "lti_session t WHERE t.ends_at < now()"),
    Rule("counts of requests for tokens", "", "token_rate", "token_rate t WHERE t.began < now() - interval '1 hour'"),
    Rule(
        "finished jobs",
        "job_days",
        "procrastinate_jobs",
        "procrastinate_jobs t WHERE t.status NOT IN ('todo', 'doing') "
        f"AND (SELECT max(e.at) FROM procrastinate_events e WHERE e.job_id = t.id) < {_OLD}",
    ),
)
_LEFT = (
    "plan t WHERE t.left_on < current_date - CAST(:days AS int) AND NOT EXISTS (SELECT FROM legal_hold h "
    "WHERE h.lifted_at IS NULL AND planbridge_survivor(h.student_id) = planbridge_survivor(t.student_id)) "
    "AND NOT EXISTS (SELECT FROM delivery d WHERE d.plan_id = t.id AND d.state IN ('queued', 'sending'))"
)
PLANS = Rule("plans of students who left", "plan_days", "plan", _LEFT)
"""Not one of the rules above: what goes with a plan is sealed in the chain of acts, and its going is an act."""
LOG_FILES = "log files of the embedded database"


async def keep_hourly(store: Store, settings: Settings) -> None:
    """Of all workers that ask, one keeps time, once an hour; and tries again what a purge could not erase at once."""
    async with store.owner.begin() as c:
        await c.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # it may take its time
        mine = await c.scalar(text("SELECT pg_try_advisory_xact_lock(hashtext('planbridge.retention'))"))
        due = mine and await c.scalar(
            text("SELECT coalesce(max(at) < now() - interval '1 hour', true) FROM retention_pass")
        )
        if due:
            await keep(store, settings)
            await purges.erase_rest(store)


async def keep(store: Store, settings: Settings) -> dict[str, dict[str, int]]:
    """Remove whatever is due, of all districts, and write down what was: rule -> {due, left}. Nobody is waited for: a
    row that somebody is at work on stays until the next pass."""
    async with store.owner.begin() as c:
        await c.execute(text(_HORIZONS), {"days": settings.history_days})
    done = {}
    for rule in RULES:
        removed = 0
        while batch := await _remove(store, rule, rule.lasts(settings)):
            removed += batch
        async with store.owner.connect() as c:
            left = await _due(c, rule, rule.lasts(settings))
        done[rule.name] = {"due": removed + left, "left": left}
    done[PLANS.name] = await _keep_plans(store, settings)
    done[LOG_FILES] = _remove_logs(settings)
    async with store.owner.begin() as c:
        await c.execute(
            text("INSERT INTO retention_pass (done) VALUES (CAST(:done AS json))"), {"done": json.dumps(done)}
        )
        await c.execute(text(f"DELETE FROM retention_pass WHERE at < {_OLD}"), {"days": settings.history_days})
    return done


async def _remove(store: Store, rule: Rule, days: int) -> int:
    act = f"UPDATE {rule.table} SET {rule.column} = NULL" if rule.column else f"DELETE FROM {rule.table}"
    due = f"SELECT t.ctid FROM {rule.due} LIMIT {BATCH} FOR UPDATE OF t SKIP LOCKED"
    async with store.owner.begin() as c:
        done = await c.execute(text(f"{act} WHERE ctid = ANY(ARRAY({due}))"), _values(rule, days))
        return done.rowcount


async def _keep_plans(store: Store, settings: Settings) -> dict[str, int]:
    """Note who has left, or come back, and remove the plans of those who left long ago."""
    days = PLANS.lasts(settings)
    async with store.owner.begin() as c:
        await c.execute(text(_NOTE_LEFT))
        rows = await c.execute(text(f"SELECT DISTINCT t.district_id FROM {PLANS.due}"), {"days": days})
        districts = list(rows.scalars())
    removed = 0
    for district in districts:
        removed += await _remove_plans(store, district, days)
    async with store.owner.connect() as c:
        left = await _due(c, PLANS, days)
    return {"due": removed + left, "left": left}


async def _remove_plans(store: Store, district: int, days: int) -> int:
    by = f"retention/{uuid.uuid4()}"
    due = f"SELECT t.id FROM {PLANS.due} AND t.district_id = :district".replace(":days", str(days))
    async with store.owner.begin() as c:
        theirs = dict.fromkeys(("plan_event", "plan_version"), f"t.plan_id IN ({due})")
        sealed = await chain.let_go(c, district, by, theirs)
        done = await c.execute(text(f"DELETE FROM plan WHERE id IN ({due})"), {"district": district})
        told = {"plans": done.rowcount, "sealed": sealed}
        await log_act(c, district, RETENTION, "retention-plans", by, told)
        return done.rowcount


_NOTE_LEFT = """
    UPDATE plan p SET left_on = CASE WHEN here.yes THEN NULL ELSE current_date END
    FROM (SELECT q.id, EXISTS (
            SELECT FROM entity e CROSS JOIN LATERAL json_array_elements(e.doc->'roles') r
            WHERE e.kind = 'person' AND e.district_id = q.district_id AND e.id = planbridge_survivor(q.student_id)
            AND r->>'role' = 'student' AND coalesce(r->>'end_on', '9999') >= CAST(current_date AS text)) AS yes
        FROM plan q) here
    WHERE here.id = p.id AND here.yes = (p.left_on IS NOT NULL)
"""


async def _due(c: AsyncConnection, rule: Rule, days: int) -> int:
    return int(str(await c.scalar(text(f"SELECT count(*) FROM {rule.due}"), _values(rule, days))))


def _values(rule: Rule, days: int) -> dict[str, Any]:
    return {"days": days} if rule.days else {}


# Said before anything goes: an undo or an as-of read from before would find only a part, and is refused.
_HORIZONS = f"""
    WITH forgotten AS (
        UPDATE connection c SET history_from = k.first FROM {_KEPT}
        WHERE c.id = k.connection_id AND k.first > c.history_from
        RETURNING c.district_id, c.id, k.first
    ), gone AS (
        SELECT p.district_id, p.at FROM publication p JOIN run u ON u.id = p.run_id
        JOIN forgotten f ON f.id = u.connection_id AND u.id < f.first
        UNION ALL
        SELECT p.district_id, p.at FROM publication p JOIN run u ON u.id = p.run_id
        WHERE u.connection_id IS NULL AND p.at < {_OLD}
    )
    UPDATE district d SET history_from = g.at
    FROM (SELECT district_id, max(at) AS at FROM gone GROUP BY district_id) g
    WHERE g.district_id = d.id AND (d.history_from IS NULL OR g.at > d.history_from)
"""


def _remove_logs(settings: Settings) -> dict[str, int]:
    due = _old_logs(settings)
    for path in due:
        path.unlink(missing_ok=True)
    return {"due": len(due), "left": len(_old_logs(settings))}


def _old_logs(settings: Settings) -> list[Path]:
    before = time.time() - settings.log_days * 86_400
    folder = settings.home / "postgres" / "cluster" / "log"
    return [path for path in folder.glob("*.log") if path.stat().st_mtime < before]


async def shown(store: Store, settings: Settings) -> list[dict[str, Any]]:
    """Each rule: how long its things are kept, how many are due now, when it was last seen to and what went then, and
    how many went in all passes that are remembered."""
    async with store.owner.connect() as c:
        rows = await c.execute(text("SELECT at, done FROM retention_pass ORDER BY id DESC"))
        passes = [(row.at, row.done) for row in rows]
        due = {rule.name: await _due(c, rule, rule.lasts(settings)) for rule in (*RULES, PLANS)}
    due[LOG_FILES] = len(_old_logs(settings))
    kept = {rule.name: rule.lasts(settings) for rule in (*RULES, PLANS)} | {LOG_FILES: settings.log_days}
    return [
        {
            "what": name,
            "kept_days": days,
            "due_now": due[name],
            "last_pass": next((at for at, done in passes if name in done), None),
            "removed_then": next((gone(done[name]) for _, done in passes if name in done), 0),
            "removed_ever": sum(gone(done[name]) for _, done in passes if name in done),
        }
        for name, days in kept.items()
    ]


def gone(counts: dict[str, int]) -> int:
    """How many a pass removed."""
    return counts["due"] - counts["left"]
