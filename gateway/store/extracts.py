"""What a district takes along when it leaves: everything published and everything people wrote, as JSON lines."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.schema import KINDS
from gateway.store.database import Store

_PLAN = """
    SELECT CAST(json_build_object('id', p.id, 'student', p.student_id, 'state', p.state, 'revision', p.revision,
        'created_at', p.created_at, 'updated_at', p.updated_at, 'content', p.content,
        'versions', (SELECT coalesce(json_agg(json_build_object('version', v.version, 'content', v.content,
            'sha256', v.sha256, 'finalized_at', v.finalized_at, 'finalized_by', v.finalized_by,
            'guard_report', v.guard_report, 'amends', v.amends) ORDER BY v.version), '[]')
            FROM plan_version v WHERE v.plan_id = p.id),
        'events', (SELECT coalesce(json_agg(json_build_object('act', e.act, 'actor', e.actor, 'detail', e.detail,
            'at', e.at) ORDER BY e.seq), '[]') FROM plan_event e WHERE e.plan_id = p.id)) AS text)
    FROM plan p ORDER BY p.id
"""
# `body` and `salt` are the texts that body_sha256 is of.
_RECORD = """
    SELECT CAST(json_build_object('id', e.id, 'student', e.student_id, 'seq', e.seq, 'kind', e.kind,
        'domain', e.domain, 'restricted', e.restricted, 'occurred_at', e.occurred_at, 'recorded_at', e.recorded_at,
        'actor', e.actor, 'supersedes', e.supersedes, 'plan', e.plan_id, 'item', e.item, 'result', e.result_id,
        'body', e.body, 'salt', e.salt, 'body_sha256', e.body_sha256, 'prev_hash', e.prev_hash, 'hash', e.hash) AS text)
    FROM record_entry e ORDER BY e.student_id, e.seq
"""
_DELIVERY = """
    SELECT CAST(json_build_object('id', d.id, 'plan', d.plan_id, 'version', d.version, 'destination', n.name,
        'state', d.state, 'actor', d.actor, 'losses', d.losses, 'reason', d.reason, 'created_at', d.created_at,
        'finished_at', d.finished_at,
        'objects', (SELECT coalesce(json_agg(json_build_object('resource', l.resource, 'identity', l.identity,
            'status', l.status, 'remote_id', l.remote_id, 'at', l.at) ORDER BY l.at, l.resource), '[]')
            FROM ledger l WHERE l.delivery_id = d.id)) AS text)
    FROM delivery d JOIN connection n ON n.id = d.connection_id ORDER BY d.id
"""
_ACT = """
    SELECT CAST(json_build_object('at', at, 'actor', actor, 'act', act, 'subject', subject, 'detail', detail) AS text)
    FROM act ORDER BY seq
"""
_PURGE = """
    SELECT CAST(json_build_object('id', id, 'at', at, 'actor', actor, 'because', because, 'counts', counts,
        'lifted', lifted) AS text) FROM purge ORDER BY at
"""
_ENTITY = """
    SELECT CAST(CAST(jsonb_build_object('id', e.id) AS jsonb) || CAST(e.doc AS jsonb) AS text)
    FROM entity e WHERE kind = '{kind}' ORDER BY e.id
"""
# An end across a year change tells that there was something: of what is withheld, nothing does.
_ENDING = f"""
    SELECT CAST(json_build_object('kind', e.kind, 'id', e.entity_id, 'reason', e.reason, 'at', p.at) AS text)
    FROM ending e JOIN publication p ON p.id = e.publication
    WHERE e.kind NOT IN ({", ".join(f"'{kind.name}'" for kind in KINDS.values() if kind.withheld)})
    ORDER BY e.publication, e.kind, e.entity_id
"""
FILES = {
    **{f"entities/{kind}.jsonl": _ENTITY.format(kind=kind) for kind in KINDS},
    "plans.jsonl": _PLAN,
    "records.jsonl": _RECORD,
    "deliveries.jsonl": _DELIVERY,
    "acts.jsonl": _ACT,
    "endings.jsonl": _ENDING,
    "purges.jsonl": _PURGE,
}
"""Name -> what is in it, one JSON object per line. A version's `content` is the text that its sha256 is of."""
WITHHELD = {f"entities/{kind.name}.jsonl": kind.name for kind in KINDS.values() if kind.withheld}
"""Those that are written only where they are asked for by the name of their kind."""


@asynccontextmanager
async def still(store: Store, district: int) -> AsyncIterator[AsyncConnection]:
    """The district as it is at one moment, however long it is looked at; nothing is held up by it."""
    async with store.engine.connect() as connection:
        c = await connection.execution_options(isolation_level="REPEATABLE READ")
        async with c.begin():
            await c.execute(
                text(
                    "SELECT set_config('planbridge.district', :district, true), "
                    "  set_config('idle_in_transaction_session_timeout', '0', true)"
                ),
                {"district": str(district)},
            )
            yield c


async def lines(c: AsyncConnection, file: str) -> AsyncIterator[str]:
    """The lines of one of the files."""
    async for line in await c.stream_scalars(text(FILES[file])):
        yield str(line)
