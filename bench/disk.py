"""`python -m bench.disk`: what a district and its ordinary nights take on the disk, into docs/proofs/disk.json."""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import material, report
from bench.measure import ROOT, serving
from bench.ours import Installation
from bench.run import SECTIONS
from synthetic import District
from tests.proofs.record import proof

STUDENTS = 14_200
"""Gives a good 100,000 section associations."""
NIGHTS = 3
SHARE = 0.01
"""Of all records, that differ from one night to the next."""

_SIZE = "SELECT pg_database_size(current_database())"
_TABLES = (
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' "
    "AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC LIMIT 10"
)


def measured(students: int, nights: int) -> dict[str, Any]:
    """Sizes in bytes of an installation: empty, after the first pull, after one without changes, after each night.

    `rows` of a pull are the records received of every collection; the enrollments are among them.
    """
    today = material.district(students)
    found: dict[str, Any] = {"students": len(today.students), "enrollments": len(today.enrollments), "pulls": []}
    with Installation.made() as home:
        port, district = 0, ""
        for name, day in _days(today, nights):
            folder = material.kept(
                ROOT / ".bench" / "material" / f"disk-{students}-{name}".replace(" ", "-"),
                partial(material.write_edfi, district=day, only=SECTIONS),
            )
            with serving("edfi", folder, port=port) as server:
                if not district:
                    district, port = home.fresh("edfi", server.url), int(server.url.rpartition(":")[2])
                    found["empty"] = home.one(_SIZE)
                cost = home.pull("edfi", district)
            with home.database() as c:
                c.execute("VACUUM")
                c.execute("CHECKPOINT")
            told = {key: cost.more[key] for key in ("rows", "changed", "published")}
            pull = {"night": name, **told, "database": home.one(_SIZE), "whole folder": _on_disk(home.home)}
            found["pulls"].append(pull)
            print(f"  {pull}", flush=True)
            if len(found["pulls"]) == 1:
                found["tables after the first pull"] = {table: int(size) for table, size in home.sql(_TABLES)}
        found["tables at the end"] = {table: int(size) for table, size in home.sql(_TABLES)}
    return found


def _days(today: District, nights: int) -> list[tuple[str, District]]:
    days = [("first", today), ("unchanged", today)]
    for night in range(1, nights + 1):
        today = material.next_day(today, SHARE)
        days.append((f"{SHARE:.0%} changed, {night}", today))
    return days


def _on_disk(home: Path) -> int:
    """Everything of an installation: the database, its write-ahead log, its log files."""
    cluster = (home / "postgres" / "cluster").resolve()
    files = [Path(at, name) for top in (home, cluster) for at, _, names in os.walk(top) for name in names]
    return sum(file.lstat().st_size for file in set(files) if file.exists())


def main(arguments: Sequence[str]) -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.disk", description=__doc__)
    asked.add_argument("--students", type=int, default=STUDENTS, help="with another number nothing is written")
    asked.add_argument("--nights", type=int, default=NIGHTS)
    told = asked.parse_args(arguments)
    if told.students != STUDENTS:
        measured(told.students, told.nights)
        return
    with proof("disk", seed=material.SEED) as counts:
        counts.update(measured(told.students, told.nights))
    report.render()


if __name__ == "__main__":
    main(sys.argv[1:])
