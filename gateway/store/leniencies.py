"""What runs read although the standard does not allow it: how often, in which field, and for example where."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

SHOWN = 3
"""Examples kept of each page, and shown of each run."""


async def of_runs(c: AsyncConnection, runs: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """Run -> its leniencies, the most frequent first. `records` counts what the run mapped, which is what had changed
    at the source; `examples` are keys of records or places in a file."""
    rows = await c.execute(text(_OF_RUNS), {"runs": list(runs), "shown": SHOWN})
    found: dict[int, list[dict[str, Any]]] = {run: [] for run in runs}
    for row in rows:
        told = dict(row._mapping)
        found[told.pop("run_id")].append(told)
    return found


_OF_RUNS = """
    SELECT g.run_id, g.collection, g.code, g.field, g.records, ARRAY(
        SELECT DISTINCT e FROM (
            SELECT examples FROM leniency l WHERE l.run_id = g.run_id AND l.collection = g.collection
            AND l.code = g.code AND l.field = g.field AND l.examples IS NOT NULL LIMIT :shown
        ) p, unnest(p.examples) e ORDER BY e LIMIT :shown) AS examples
    FROM (SELECT run_id, collection, code, field, CAST(sum(n) AS bigint) AS records FROM leniency
          WHERE run_id = ANY(:runs) GROUP BY 1, 2, 3, 4) g
    ORDER BY g.run_id, g.records DESC, g.collection, g.code, g.field
"""
