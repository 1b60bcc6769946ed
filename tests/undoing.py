"""How a district stands, as hashes: records, claims, links, entities, what waits; all but the times of publication."""

from hashlib import sha256

from tests.e2e.office import Office

_STANDING = {
    "record": "SELECT connection_id, collection, key, hash, body, run_id, fetched_at FROM record",
    "claim": "SELECT connection_id, collection, record_key, n, kind, key, same_as, anchor, rank, stated::text, run_id "
    "FROM claim",
    "link": "SELECT connection_id, kind, key, entity_id, method, run_id FROM link",
    "entity": "SELECT kind, id, doc::text, match FROM entity",
    "waiting": "SELECT connection_id, kind, key, field, code, target_kind, target_key FROM waiting",
    "difference": "SELECT connection_id, kind, entity_id, field FROM difference",
}


def standing(office: Office) -> dict[str, tuple[int, str]]:
    """Table -> rows, and their hash."""
    found = {}
    with office.home.database() as c:
        for table, query in _STANDING.items():
            rows = c.execute(
                f"{query} WHERE district_id = (SELECT id FROM district WHERE name = %s)".encode(), [office.district]
            )
            lines = sorted(repr(row) for row in rows)
            found[table] = (len(lines), sha256("\n".join(lines).encode()).hexdigest())
    return found
