"""`make bench`: every job by turns ours and theirs, round after round; medians and ratios into docs/bench.md."""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from bench import delivering, material, report
from bench.measure import ROOT, Cost, Serving, serving
from bench.ours import Installation
from bench.peer import DLT, EARTHMOVER, EDFI_API_CLIENT, LIGHTBEAM, LIGHTBEAM_SENDS, TIMEBACK, Peer
from bench.serving import sides
from synthetic import District
from tests.proofs.record import commit

SECTIONS = (
    *("localEducationAgencies", "schools", "students", "sessions", "courses", "courseOfferings", "sections"),
    "studentSectionAssociations",
)
"""Section associations, and what they refer to."""
ASSESSMENTS = (
    *("localEducationAgencies", "schools", "students", "assessments", "objectiveAssessments"),
    "studentAssessments",
)
OURS = "planbridge"
PAGE = 500  # Ed-Fi: DefaultPageSizeLimit

Contestants = Mapping[str, Callable[[], Cost]]


@dataclass(frozen=True)
class Bench:
    """What every job needs: how large it is to be (1 is the full size), how often, and where files may lie."""

    scale: float
    rounds: int
    folder: Path

    def rows(self, full: int) -> int:
        return max(20, round(full * self.scale))

    def edfi(
        self,
        name: str,
        make: Callable[[], District],
        only: Sequence[str] = (),
        after: Callable[[], District] | None = None,
    ) -> Path:
        return self.material(
            f"edfi-changes-{name}",
            lambda folder: material.write_edfi(folder, make(), only, after=after() if after else None),
        )

    def oneroster(self, name: str, make: Callable[[], District], only: Sequence[str] = ()) -> Path:
        return self.material(f"oneroster-{name}", lambda folder: material.write_oneroster(folder, make(), only))

    def package(self, name: str, make: Callable[[], District]) -> Path:
        return self.material(f"csv-{name}", lambda folder: material.write_package(folder, make()))

    def material(self, name: str, write: Callable[[Path], None]) -> Path:
        """A folder that `write` fills, unless an earlier benchmark has."""
        return material.kept(self.folder / "material" / f"{name}-{self.scale:g}", write)


def sections(bench: Bench) -> dict[str, Any]:
    """100,000 section associations and what they refer to, from an Ed-Fi server that answers at once."""
    return _edfi(bench, "sections", lambda: material.district(bench.rows(14_200)), SECTIONS)


def assessments(bench: Bench) -> dict[str, Any]:
    """100,000 student assessments (with their objectives about 300,000 results) of 39,500 students."""
    return _edfi(bench, "assessments", lambda: material.district(bench.rows(39_500)), ASSESSMENTS)


def slow(bench: Bench) -> dict[str, Any]:
    """The 100,000 section associations again, from a server that takes 100 ms for every page."""
    folder = bench.edfi("sections", lambda: material.district(bench.rows(14_200)), SECTIONS)
    with Installation.made() as home, serving("edfi", folder, delay=0.1) as server:
        return _by_turns(
            bench,
            {OURS: lambda: home.pull("edfi", home.fresh("edfi", server.url)), **_edfi_peers(server, SECTIONS)},
        )


def users(bench: Bench) -> dict[str, Any]:
    """100,000 OneRoster users, such as timeback-oneroster can read."""
    folder = bench.oneroster(
        "users", lambda: material.readable_by_timeback(material.district(bench.rows(105_000))), ("orgs", "users")
    )
    with Installation.made() as home, serving("oneroster", folder, page_cap=1000) as server:
        return _by_turns(
            bench,
            {
                OURS: lambda: home.pull("oneroster", home.fresh("oneroster", server.url)),
                **_peer(TIMEBACK, lambda: TIMEBACK.run(server.url, "1000")),
            },
        )


def package(bench: Bench) -> dict[str, Any]:
    """A OneRoster CSV package with 1,000,000 enrollments of 66,000 students."""
    count = bench.rows(1_000_000)
    folder = bench.package("package", lambda: material.crowded(material.district(bench.rows(66_000)), count))
    with Installation.made() as home:
        return _by_turns(
            bench,
            {
                OURS: lambda: home.pull("oneroster", home.fresh_with_files(folder)),
                **_peer(EARTHMOVER, lambda: EARTHMOVER.run(str(folder))),
            },
        )


def size(bench: Bench) -> dict[str, Any]:
    """The same pull ten times as large: what 100,000 section associations cost among a million."""
    small = bench.edfi("sections", lambda: material.district(bench.rows(14_200)), SECTIONS)
    large = bench.edfi("size", lambda: material.district(bench.rows(142_000)), SECTIONS)

    def pulled(folder: Path) -> Cost:
        with Installation.made() as home, serving("edfi", folder) as server:
            return home.pull("edfi", home.fresh("edfi", server.url))

    return _by_turns(bench, {"100,000": lambda: pulled(small), "1,000,000": lambda: pulled(large)})


def night(bench: Bench) -> dict[str, Any]:
    """The ordinary night of 40,000 students and 600,000 enrollments: 100 rows a page, 100 ms each.

    The first full pull, an unchanged one, and one in which 1 % of the enrollments and their students changed.
    """

    def today() -> District:
        return material.crowded(material.district(bench.rows(40_000)), bench.rows(600_000))

    first = bench.edfi("night", today)
    second = bench.edfi("night-after", lambda: material.next_day(today(), 0.01), after=today)
    told: dict[str, Any] = {}
    with Installation.made() as home:
        district = ""
        port = 0
        for name, folder in (("full", first), ("unchanged", first), ("1 % changed", second)):
            with serving("edfi", folder, port=port, page_cap=100, delay=0.1) as server:
                district = district or home.fresh("edfi", server.url)
                port = int(server.url.rpartition(":")[2])
                cost = home.pull("edfi", district)
                told[name] = _summary([cost]) | {"requests": server.asked()}
                print(f"  {name}: {_said(cost)}", flush=True)
    return told


def provider(bench: Bench) -> dict[str, Any]:
    """A page of 100 users of 100,000, first and last, beside the least that can serve a page from the same database;
    and what changed of 1,000,000 enrollments, in pages of 1,000."""
    times = bench.rows(1_000)
    users, enrollments = bench.rows(100_000), bench.rows(1_000_000)
    with Installation.made() as home, sides(home, users, enrollments) as (ours, bare, made):
        first, last = "/users?limit=100", f"/users?limit=100&offset={max(0, users - 100)}"
        for side, path in ((ours, first), (ours, last), (bare, "/rows"), (bare, "/text")):
            side.asked(path, 20)  # what is found out once, and statements that are prepared after some times
        told = _by_turns(
            bench,
            {
                "first page": lambda: ours.asked(first, times),
                "last page": lambda: ours.asked(last, times),
                "bare, columns": lambda: bare.asked("/rows", times),
                "bare, text": lambda: bare.asked("/text", times),
            },
        )
        delta = "/enrollments?limit=1000&filter=" + quote("dateLastModified>'{}'")
        shares = {f"changed {share:.1%}": delta.replace("%7B%7D", made.since(share)) for share in (0.001, 0.01, 0.1)}
        told |= _by_turns(bench, {name: lambda path=path: ours.walked(path) for name, path in shares.items()})
        return told | {"approval": {"cpu": "", "wall": round(made.approved_in, 2), "memory": "", "rows": enrollments}}


def deliveries(bench: Bench) -> dict[str, Any]:
    """10,000 finalized plans to a server that takes 30 ms for every request, one record each; lightbeam posts the same
    records over 8 connections."""
    district = material.district(bench.rows(10_000))
    folder = bench.material("deliveries", lambda folder: delivering.write(folder, district))
    with Installation.made() as home, serving("edfi", folder, delay=0.03, module="bench.taking") as server:
        with delivering.desk(home, server, district.number) as desk:
            first = desk.pushed()
            print(f"  not counted, {OURS}: {_said(first)}", flush=True)
            lines = desk.lines(folder)

            def sent() -> Cost:
                desk.empty()
                return LIGHTBEAM_SENDS.run(server.url, str(lines))

            return _by_turns(bench, {OURS: desk.pushed, **_peer(LIGHTBEAM_SENDS, sent)})


JOBS: Mapping[str, Callable[[Bench], dict[str, Any]]] = {
    job.__name__: job for job in (sections, assessments, slow, users, package, size, night, provider, deliveries)
}


def _edfi(bench: Bench, name: str, make: Callable[[], District], collections: Sequence[str]) -> dict[str, Any]:
    folder = bench.edfi(name, make, collections)
    with Installation.made() as home, serving("edfi", folder) as server:
        ours = {OURS: lambda: home.pull("edfi", home.fresh("edfi", server.url))}
        found = _by_turns(bench, {**ours, **_edfi_peers(server, collections), **_dlt(server, collections, home)})
        district = home.fresh("edfi", server.url)
        home.pull("edfi", district)
        server.asked()
        unchanged = _summary([home.pull("edfi", district)]) | {"requests": server.asked()}
        return found | {f"{OURS}, nothing changed": unchanged}


def _edfi_peers(server: Serving, collections: Sequence[str]) -> Contestants:
    return {
        **_peer(EDFI_API_CLIENT, lambda: EDFI_API_CLIENT.run(server.url, str(PAGE), *collections)),
        **_peer(
            EDFI_API_CLIENT,
            lambda: EDFI_API_CLIENT.run(server.url, "100", *collections),
            "edfi_api_client, its own 100 a page",
        ),
        **_peer(LIGHTBEAM, lambda: LIGHTBEAM.run(server.url, str(PAGE), *collections)),
    }


def _dlt(server: Serving, collections: Sequence[str], home: Installation) -> Contestants:
    def load() -> Cost:
        variables = {"BENCH_DATABASE": home.empty_database(), "BENCH_DATASET": "bench"}
        return DLT.run(server.url, str(PAGE), *collections, **variables)

    return _peer(DLT, load)


def _peer(peer: Peer, run: Callable[[], Cost], name: str = "") -> Contestants:
    """The peer as a contestant; one that cannot be installed says so in its place."""

    def missing() -> Cost:
        raise RuntimeError(f"cannot be installed: {reason}")

    try:
        peer.install()
    except RuntimeError as error:
        reason = str(error)
        return {name or peer.name: missing}
    return {name or peer.name: run}


def _by_turns(bench: Bench, contestants: Contestants) -> dict[str, Any]:
    """A B C, A B C, ...: what slows the machine down for a while slows all of them."""
    costs: dict[str, list[Cost]] = {name: [] for name in contestants}
    failed: dict[str, str] = {}
    for turn in range(bench.rounds):
        for name, run in contestants.items():
            if name in failed:
                continue
            try:
                costs[name].append(run())
            except RuntimeError as error:
                failed[name] = str(error)
                print(f"  {name}: {error}", flush=True)
            else:
                print(f"  {turn + 1} {name}: {_said(costs[name][-1])}", flush=True)
    return {name: {"failed": failed[name]} if name in failed else _summary(costs[name]) for name in contestants}


def _said(cost: Cost) -> str:
    return f"{cost.cpu:.2f} s CPU, {cost.wall:.2f} s, {cost.memory:.0f} MB, {dict(cost.more)}"


def _summary(costs: Sequence[Cost]) -> dict[str, Any]:
    return {
        "cpu": round(median(cost.cpu for cost in costs), 2),
        "wall": round(median(cost.wall for cost in costs), 2),
        "memory": round(max(cost.memory for cost in costs)),
        "cpu of each round": [round(cost.cpu, 2) for cost in costs],
        "wall of each round": [round(cost.wall, 2) for cost in costs],
        **costs[-1].more,
    }


def _circumstances() -> dict[str, Any]:
    """When, of which commit, on what, and how busy the machine was with other things."""
    cores, python = os.cpu_count(), platform.python_version()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": f"{platform.system()} {platform.machine()}, {cores} cores, Python {python}",
        "load before": round(os.getloadavg()[0], 1),
    }


def main(arguments: Sequence[str]) -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    asked.add_argument("jobs", nargs="*", metavar="JOB", help=f"of {', '.join(JOBS)}; all of them where none is named")
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--scale", type=float, default=1.0, help="0.1 is a tenth of every size; nothing is written then")
    told = asked.parse_args(arguments)
    bench = Bench(told.scale, told.rounds, ROOT / ".bench")
    for name in told.jobs or JOBS:
        print(f"{name}: {(JOBS[name].__doc__ or '').splitlines()[0]}", flush=True)
        circumstances = _circumstances()
        found = JOBS[name](bench)
        if bench.scale == 1.0:
            report.keep(name, circumstances | {"rounds": bench.rounds, "costs": found})


if __name__ == "__main__":
    main(sys.argv[1:])
