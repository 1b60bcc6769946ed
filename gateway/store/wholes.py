"""What one record says everything about needs no folding: its key is linked and published here, all keys at once.

An enrollment, a result, a relationship is nearly always such a one, and they are most of what a district has. What
stands here does exactly what `gateway.resolve` would do with them one by one; whatever is not so plain is left to it.
"""

from collections.abc import Iterable
from itertools import chain

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.schema import Kind
from gateway.schema.kinds import Reference
from gateway.store.changes import publishing
from gateway.store.runs import Attempt


def may_be_whole(kind: Kind) -> bool:
    """Whether an entity of this kind can be what one claim says, with ids in place of keys."""
    return "union" not in kind.merge.values() and not any(one.part for one in kind.references)


async def publish(
    c: AsyncConnection,
    attempt: Attempt,
    kind: Kind,
    publication: int,
    *,
    owner: int | None,
    district_key: bytes,
    not_denoting: Iterable[str],
) -> None:
    """Publish those touched keys of a kind that a single record speaks of and that a single key denotes.

    `owner`: the connection that alone may publish, if one may; `not_denoting`: source keys of people that are not to
    be followed now. What it has published stays in `said`, which a later call for the same kind empties.
    """
    values = {
        "district": attempt.district,
        "run": attempt.run,
        "kind": kind.name,
        "publication": publication,
        "owner": owner,
        "not_denoting": list(not_denoting),
        **dict(zip(("inner", "outer"), _pads(district_key), strict=True)),
    }
    for statement in _statements(kind):
        await c.execute(text(statement), values)


def _statements(kind: Kind) -> list[str]:
    return [
        "TRUNCATE said",
        _candidates(kind),
        "ANALYZE whole",
        "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
        "SELECT :district, connection_id, :kind, key, entity_id, 'first', :run, :run FROM whole WHERE fresh",
        "SELECT planbridge_grown((SELECT count(*) FROM whole WHERE fresh), 'link')",
        _docs(kind),
        "ANALYZE said",
        publishing("SELECT entity_id AS id, doc, match FROM said"),
        "DROP TABLE whole",
    ]


def _candidates(kind: Kind) -> str:
    """Keys with one claim, their own, whose references to other kinds all denote something published."""
    others = [(n, one) for n, one in enumerate(kind.references) if one.kind != kind.name and not one.many]
    lists = [one for one in kind.references if one.many and kind.merge[one.field] == "one"]
    joins = "".join(f"LEFT JOIN LATERAL ({_denoted(one, _stated(one), 't')}) e{n} ON true " for n, one in others)
    conditions = chain(
        (f"s.stated->'{name}' IS NOT NULL" for name in kind.required),
        (f"(s.stated->'{one.field}' IS NULL OR e{n}.id IS NOT NULL)" for n, one in others),
        (f"(s.stated->'{one.field}' IS NULL OR {_all_denote(one)})" for one in lists),
        (f"(s.stated->>'{one.field}' = ANY(:not_denoting)) IS NOT TRUE" for _, one in others if one.kind == "person"),
        # A list that several records may add to, or say twice, is for the fold to put together.
        (f"s.stated->'{name}' IS NULL" for name, rule in kind.merge.items() if rule == "owned"),
    )
    word = _word(kind)
    return (
        "CREATE TEMP TABLE whole ON COMMIT DROP AS "
        "SELECT t.connection_id, t.key, s.stated, l.entity_id IS NULL AS fresh, "
        f"  coalesce(l.entity_id, {_FIRST_SIGHT}) AS entity_id, {word} AS match"
        + "".join(f", e{n}.id AS ref_{n}" for n, _ in others)
        + " FROM touched t CROSS JOIN LATERAL ("
        "  SELECT (array_agg(c.stated))[1] AS stated FROM claim c "
        "  WHERE c.key = t.key AND c.kind = :kind AND c.connection_id = t.connection_id "
        "  HAVING count(*) = 1 AND bool_and(c.anchor AND c.same_as IS NULL)) s "
        "LEFT JOIN LATERAL (SELECT l.entity_id, l.method FROM link l WHERE l.key = t.key AND l.kind = :kind "
        "  AND l.connection_id = t.connection_id LIMIT 1) l ON true "
        f"{joins}"
        "WHERE t.kind = :kind AND NOT t.done "
        "AND t.connection_id = coalesce(CAST(:owner AS int), t.connection_id) AND "
        + " AND ".join(conditions)
        + " AND CASE WHEN l.entity_id IS NULL "
        # Somebody's entity that can be recognised by its word is not made a second time.
        f"  THEN (SELECT true FROM entity x WHERE x.match = {word} AND x.kind = :kind LIMIT 1) IS NULL "
        "  ELSE l.method IN ('first', 'matched') AND (SELECT true FROM link o WHERE o.entity_id = l.entity_id "
        "    AND o.kind = :kind AND (o.key <> t.key OR o.connection_id <> t.connection_id) LIMIT 1) IS NULL END"
    )


def _stated(reference: Reference) -> str:
    return f"s.stated->>'{reference.field}'"


def _denoted(reference: Reference, key: str, of: str) -> str:
    """The published entity that a key of the connection denotes. LIMIT keeps the planner from joining whole tables:
    of what this transaction has written it knows no numbers."""
    return (
        "SELECT e.id FROM link r JOIN entity e ON e.id = r.entity_id AND e.kind = r.kind "
        f"WHERE r.key = {key} AND r.kind = '{reference.kind}' AND r.connection_id = {of}.connection_id LIMIT 1"
    )


def _all_denote(reference: Reference) -> str:
    return (
        f"(json_array_length(s.stated->'{reference.field}') > 0 AND NOT EXISTS ("
        f"  SELECT FROM json_array_elements_text(s.stated->'{reference.field}') AS v(key) "
        f"  LEFT JOIN LATERAL ({_denoted(reference, 'v.key', 't')}) d ON true WHERE d.id IS NULL))"
    )


def _docs(kind: Kind) -> str:
    """What is published of each: the claim's own text, in its own order, with ids where keys stood.

    A reference to the same kind denotes what is published, or what is being published just now.
    """
    own = [(n, one) for n, one in enumerate(kind.references) if one.kind == kind.name]
    joins = "".join(
        f" LEFT JOIN LATERAL (SELECT r.entity_id FROM link r WHERE r.key = w.stated->>'{one.field}' "
        "AND r.kind = :kind AND r.connection_id = w.connection_id "
        "AND (EXISTS (SELECT FROM entity e WHERE e.id = r.entity_id AND e.kind = :kind) "
        "  OR EXISTS (SELECT FROM claim c WHERE c.key = r.key AND c.kind = :kind "
        f"    AND c.connection_id = r.connection_id AND c.anchor)) LIMIT 1) r{n} ON true"
        for n, one in own
    )
    written = "".join(f"WHEN '{one.field}' THEN {_written(n, one, kind)} " for n, one in enumerate(kind.references))
    value = f"CASE m.key {written}ELSE CAST(m.value AS text) END" if written else "CAST(m.value AS text)"
    resolved = [f"(w.stated->'{one.field}' IS NULL OR r{n}.entity_id IS NOT NULL)" for n, one in own]
    return (
        "INSERT INTO said SELECT :kind, w.connection_id, w.key, w.entity_id, w.match, ("
        f"  SELECT '{{' || string_agg('\"' || m.key || '\":' || {value}, ',' ORDER BY m.n) || '}}' "
        "  FROM json_each(w.stated) WITH ORDINALITY AS m(key, value, n)) "
        f"FROM whole w{joins} WHERE {' AND '.join(resolved) or 'true'}"
    )


def _written(n: int, reference: Reference, kind: Kind) -> str:
    """A reference as JSON text: the id, or the list of ids, that its keys denote."""
    if not reference.many:
        return f"'\"' || {f'r{n}.entity_id' if reference.kind == kind.name else f'w.ref_{n}'} || '\"'"
    return (
        "(SELECT '[' || string_agg('\"' || d.id || '\"', ',' ORDER BY v.n) || ']' "
        f"FROM json_array_elements_text(w.stated->'{reference.field}') WITH ORDINALITY AS v(key, n), "
        f"LATERAL ({_denoted(reference, 'v.key', 'w')}) d)"
    )


def _word(kind: Kind) -> str:
    """By which text another source's entity is recognised as the same; see gateway.identity.match_word."""
    if not kind.match:
        return "CAST(NULL AS text)"
    ids = {one.field: f"CAST(e{n}.id AS text)" for n, one in enumerate(kind.references)}
    return " || chr(31) || ".join(ids.get(name) or f"nullif(s.stated->>'{name}', '')" for name in kind.match)


# HMAC-SHA256 (RFC 2104) of what gateway.identity.entity_id hashes, with the version and variant of RFC 9562.
_MAC = (
    "sha256(CAST(:outer AS bytea) || sha256(CAST(:inner AS bytea) || "
    "convert_to(:kind || chr(31) || t.connection_id || chr(31) || t.key, 'UTF8')))"
)
_FIRST_SIGHT = (
    "(SELECT CAST(encode(set_byte(set_byte(h, 6, get_byte(h, 6) & 15 | 128), 8, get_byte(h, 8) & 63 | 128), 'hex') "
    f"AS uuid) FROM (SELECT substr({_MAC}, 1, 16) AS h) mac)"
)
_BLOCK = 64  # bytes of a block of SHA-256


def _pads(key: bytes) -> tuple[bytes, bytes]:
    """What HMAC puts before the inner and before the outer message."""
    assert len(key) <= _BLOCK
    filled = key.ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in filled), bytes(byte ^ 0x5C for byte in filled)
