"""What a district takes along when it leaves: everything published and everything people wrote, as JSON lines."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.schema import KINDS
from gateway.served import COLLECTIONS
from gateway.store.database import Store

_PLAN = """
    SELECT CAST(json_build_object('id', p.id, 'student', p.student_id, 'state', p.state, 'revision', p.revision,
        'created_at', p.created_at, 'updated_at', p.updated_at, 'content', p.content,
        'versions', (SELECT coalesce(json_agg(json_build_object('version', v.version, 'content', v.content,
            'sha256', v.sha256, 'finalized_at', v.finalized_at, 'finalized_by', v.finalized_by,
            'guard_report', v.guard_report, 'amends', v.amends) ORDER BY v.version), '[]')
            FROM plan_version v WHERE v.plan_id = p.id),
        'events', (SELECT coalesce(json_agg(json_build_object('act', e.act, 'actor', e.actor, 'detail', e.detail,
            'at', e.at, 'seq', e.seq) ORDER BY e.seq), '[]') FROM plan_event e WHERE e.plan_id = p.id),
        'begun_with', (SELECT coalesce(json_agg(json_build_object('use', k.use, 'pointer', k.pointer,
            'value', k.value, 'origins', k.origins, 'at', k.at) ORDER BY k.n), '[]')
            FROM plan_prefill k WHERE k.plan_id = p.id)) AS text)
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
        'kind', d.kind, 'cause', d.cause, 'because', d.because, 'state', d.state, 'actor', d.actor,
        'losses', d.losses, 'reason', d.reason, 'created_at', d.created_at, 'finished_at', d.finished_at,
        'objects', (SELECT coalesce(json_agg(json_build_object('resource', l.resource, 'identity', l.identity,
            'status', l.status, 'remote_id', l.remote_id, 'at', l.at) ORDER BY l.at, l.resource), '[]')
            FROM ledger l WHERE l.delivery_id = d.id)) AS text)
    FROM delivery d JOIN connection n ON n.id = d.connection_id ORDER BY d.id
"""
_ACT = """
    SELECT CAST(json_build_object('seq', seq, 'at', at, 'actor', actor, 'act', act, 'subject', subject,
        'detail', detail) AS text) FROM act ORDER BY seq
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
_CONSENT = """
    SELECT CAST(json_build_object('id', id, 'student', student_id, 'grantor', grantor, 'capacity', capacity,
        'recipient', recipient, 'sections', sections, 'purpose', purpose, 'permit', permit, 'from_on', from_on,
        'until_on', until_on, 'evidence', evidence, 'actor', actor, 'at', at, 'revoked_at', revoked_at,
        'revoked_because', revoked_because) AS text) FROM consent ORDER BY id
"""
_DISCLOSURE = """
    SELECT CAST(json_build_object('id', id, 'student', student_id, 'at', at, 'act', act, 'party', party,
        'person', person_id, 'actor', actor, 'outside', outside, 'interest', interest, 'purpose', purpose,
        'basis', basis, 'sections', sections, 'plan', plan_id, 'version', version, 'delivery', delivery_id,
        'until', until) AS text) FROM disclosure ORDER BY id
"""
_PURPOSE = """
    SELECT CAST(json_build_object('assessment', assessment_id, 'purpose', purpose, 'because', because,
        'actor', actor, 'at', at) AS text) FROM purpose ORDER BY assessment_id
"""
_AGREEMENT = """
    SELECT CAST(json_build_object('id', a.id, 'destination', n.name, 'agency', a.agency, 'reference', a.reference,
        'from_on', a.from_on, 'until_on', a.until_on, 'purpose', a.purpose, 'sections', a.sections,
        'needs_consent', a.needs_consent, 'actor', a.actor, 'ended_at', a.ended_at,
        'ended_because', a.ended_because) AS text)
    FROM agreement a JOIN connection n ON n.id = a.connection_id ORDER BY a.id
"""
# Without its keyed hashes, which tell nothing elsewhere; gateway.exports.district writes whom restrictions are about.
_STANDING = """
    SELECT CAST(json_build_object('id', id, 'kind', kind, 'because', because, 'actor', actor, 'at', at,
        'ended', ended) AS text) FROM standing ORDER BY at, id
"""
_AMENDMENT = """
    SELECT CAST(json_build_object('id', id, 'student', student_id, 'asked_by', asked_by, 'about', about,
        'asked', asked, 'asked_on', asked_on, 'due_on', due_on, 'decision', decision, 'because', because,
        'decided_at', decided_at, 'statement', statement, 'actor', actor) AS text) FROM amendment ORDER BY id
"""
_LEGAL_HOLD = """
    SELECT CAST(json_build_object('id', id, 'student', student_id, 'because', because, 'actor', actor, 'at', at,
        'lifted_at', lifted_at, 'lifted_because', lifted_because) AS text) FROM legal_hold ORDER BY id
"""
_CHAIN = """
    SELECT CAST(json_build_object('n', n, 'table', tab, 'row', ref, 'salt', salt, 'content_sha256', content_sha256,
        'previous', previous, 'own', own, 'gone_by', gone_by, 'at', at) AS text) FROM chain ORDER BY n
"""
_VENDOR_AGREEMENT = """
    SELECT CAST(json_build_object('id', a.id, 'client', a.client_id, 'version', a.version, 'at', a.at,
        'ended_at', a.ended_at, 'ended_because', a.ended_because, 'destruction', a.destruction,
        'destroyed_on', a.destroyed_on,
        'versions', (SELECT coalesce(json_agg(json_build_object('version', t.version, 'terms', t.terms,
            'actor', t.actor, 'at', t.at, 'approved_by', t.approved_by, 'approved_at', t.approved_at)
            ORDER BY t.version), '[]') FROM vendor_terms t WHERE t.agreement_id = a.id)) AS text)
    FROM vendor_agreement a ORDER BY a.id
"""
_CLIENT_READ = """
    SELECT CAST(json_build_object('id', id, 'at', at, 'client', client_id, 'agreement', agreement_id,
        'person', person_id, 'collection', collection, 'rows', row_count, 'fields', fields, 'students', students,
        'sets', sets) AS text) FROM client_read ORDER BY id
"""
_OPT_OUT = """
    SELECT CAST(json_build_object('id', id, 'student', student_id, 'said_by', said_by, 'actor', actor, 'at', at,
        'withdrawn_at', withdrawn_at) AS text) FROM directory_opt_out ORDER BY id
"""
FILES = {
    **{f"entities/{kind}.jsonl": _ENTITY.format(kind=kind) for kind in KINDS},
    "plans.jsonl": _PLAN,
    "records.jsonl": _RECORD,
    "deliveries.jsonl": _DELIVERY,
    "acts.jsonl": _ACT,
    "endings.jsonl": _ENDING,
    "purges.jsonl": _PURGE,
    "consents.jsonl": _CONSENT,
    "disclosures.jsonl": _DISCLOSURE,
    "purposes.jsonl": _PURPOSE,
    "agreements.jsonl": _AGREEMENT,
    "vendor-agreements.jsonl": _VENDOR_AGREEMENT,
    "reads-by-programs.jsonl": _CLIENT_READ,
    "directory-opt-outs.jsonl": _OPT_OUT,
    "standing.jsonl": _STANDING,
    "amendments.jsonl": _AMENDMENT,
    "legal-holds.jsonl": _LEGAL_HOLD,
    "chain.jsonl": _CHAIN,
}
"""Name -> what is in it, one JSON object per line. A version's `content` is the text that its sha256 is of."""
WITHHELD = {f"entities/{kind.name}.jsonl": kind.name for kind in KINDS.values() if kind.withheld}
"""Those that are written only where they are asked for by the name of their kind."""

NOT_WRITTEN = {
    **dict.fromkeys(
        ("claim", "link", "record", "staged", "waiting", "reject"), "how what is published was put together"
    ),
    **dict.fromkeys(("claim_history", "link_history", "record_history", "change"), "earlier states of that"),
    **dict.fromkeys(
        (
            "difference",
            "preview",
            "run",
            "run_page",
            "hold",
            "watermark",
            "verification",
            "recheck",
            "leniency",
            "publication",
        ),
        "how its runs went; what people decided of them is in acts",
    ),
    **dict.fromkeys(
        ("identity_conflict", "identity_decision", "identity_proposal", "person_number", "person_trait"),
        "who is who, by keys of sources; who decided it is in acts",
    ),
    **dict.fromkeys(
        ("quality_finding", "quality_report", "attention", "plan_named"), "found anew from what is written"
    ),
    **dict.fromkeys(
        ("allowance", "blackout", "collected", "connection", "crosswalk_change", "destination", "field_override"),
        "settings: the configuration has them, and acts who chose them",
    ),
    **dict.fromkeys(
        ("hosting", "identifier_choice", "identity_rule", "schedule", "survivorship", "system_of_record", "channel"),
        "settings: the configuration has them, and acts who chose them",
    ),
    **dict.fromkeys(("succession", "year_change"), "a day of connections; who ordered it is in acts"),
    **dict.fromkeys(("alarm", "heartbeat", "notice", "sending"), "what people were told, and that all is well"),
    **dict.fromkeys(
        ("account", "account_link", "recovery_code", "sign_in_try", "session", "sign_in_begun", "lti_session"),
        "how people get in; who was let in stands in acts",
    ),
    **dict.fromkeys(
        ("authorization_code", "refresh_token", "family_token", "api_token"), "credentials of this installation"
    ),
    "identity_provider": "settings: acts say who chose them",
    "lti_context": "what a platform tells of its courses with every launch",
    "intake": "under which id of a program's own a plan came",
    "repeatable": "answers of the last seven days, for whoever asks again",
    **dict.fromkeys(
        ("client", "client_token", "first_link", "token", "used_once", "webhook", "lti_used", "lti_invitation"),
        "credentials of this installation",
    ),
    **dict.fromkeys(("webhook_message", "webhook_attempt"), "what programs are told of what is written"),
    "vendor_terms": "vendor-agreements.jsonl has them",
    **dict.fromkeys(
        ("projection", "served_gap", "served_family", *(one.table for one in COLLECTIONS.values())),
        "found anew from entities, for those who read by OneRoster",
    ),
    "reach": "found anew from what is served and agreed",
    "walked": "how far programs walked today",
    **dict.fromkeys(("bulk_grant", "bulk_export"), "who gave leave, and that it was used, is in acts"),
    "purged_mark": "keyed hashes",
    "scope_miss": "counts of how programs were set up",
    "record_stream": "the ends of what records.jsonl has",
    "unsealed": "what the next seal takes into the chain",
}
"""Tables of districts that no file is made of, and why."""


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
