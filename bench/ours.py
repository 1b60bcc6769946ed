"""Planbridge as a peer: an installation with its own database and worker process, measured from outside."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench.measure import Cost, peak, used_by, used_by_server
from tests.e2e.processes import Home, until

_NUMBERS = itertools.count(1)
_LONGEST = 4 * 3600.0  # seconds


class Installation(Home):
    """A gateway with the settings that anybody gets: embedded PostgreSQL, one worker, 16 requests side by side."""

    @property
    def environment(self) -> dict[str, str]:
        tuned_for_tests = ("PLANBRIDGE_SHARED_BUFFERS", "PLANBRIDGE_HEARTBEAT_SECONDS", "PLANBRIDGE_TAKEOVER_SECONDS")
        return {name: value for name, value in super().environment.items() if name not in tuned_for_tests}

    @property
    def postmaster(self) -> int:
        return int((self.server.home / "cluster" / "data" / "postmaster.pid").read_text().split()[0])

    def empty_database(self) -> str:
        """The URL of a new database on the same server, for a peer to fill."""
        name = f"peer_{next(_NUMBERS)}"
        with self.database() as c:
            c.execute(f"CREATE DATABASE {name}".encode())
        owner, _, rest = self.server.url.partition("@/")
        return f"{owner}:{self.server.password}@localhost/{name}?{rest.partition('?')[2]}"

    def fresh(self, kind: str, url: str, **more: str) -> str:
        """A new district connected to a bench server, with these settings; its name."""
        district = f"district {next(_NUMBERS)}"
        connect = self.connect_edfi if kind == "edfi" else self.connect_oneroster
        connect(url, district=district, **more)
        return district

    def fresh_with_files(self, folder: Path) -> str:
        """A new district connected to a CSV package; its name."""
        district = f"district {next(_NUMBERS)}"
        done = self.run("connect", "oneroster", "--name", "oneroster", "--set", f"path={folder}", "--yes",
                        district=district)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return district

    def pull(self, connection: str, district: str) -> Cost:
        """One run from the worker's first look at it to its publication, by a fresh worker that rests before.

        The CPU is the worker's; the database server's stands beside it.
        """
        with self.resting_worker() as worker, self.database() as c:
            before, before_server = used_by(worker), used_by_server(self.postmaster)
            run = int(self.json("pull", connection, "--no-wait", district=district)["id"])
            pulled, ended = _watch(c, run)
            spent, spent_server = used_by(worker) - before, used_by_server(self.postmaster) - before_server
            memory = peak(worker)
            began, found = _outcome(c, run)
        return Cost(
            spent,
            ended - began,
            memory,
            {"database_cpu": round(spent_server, 2), "pulled_after": round(pulled - began, 2), **found},
        )

    @contextmanager
    def resting_worker(self) -> Iterator[int]:
        """A fresh worker that has nothing to do; its process id."""
        worker = self.start("worker")
        try:
            with self.database() as c:
                until(lambda: _alive(c), "the worker lives")
            _until_at_rest(worker.pid)
            yield worker.pid
        finally:
            self.stop(worker)


def _alive(c: "psycopg.Connection[tuple[Any, ...]]") -> bool:
    found = c.execute("SELECT 1 FROM procrastinate_workers WHERE last_heartbeat > now() - interval '5 s'").fetchone()
    return found is not None


def _until_at_rest(pid: int) -> None:
    """Until it has done nothing for a second."""
    spent = -1.0
    while used_by(pid) - spent > 0.02:
        spent = used_by(pid)
        time.sleep(1)


def _watch(c: "psycopg.Connection[tuple[Any, ...]]", run: int) -> tuple[float, float]:
    """When the last page was staged and when the run was over, in seconds since the epoch."""
    deadline = time.monotonic() + _LONGEST
    pages, pulled = -1, time.time()
    while time.monotonic() < deadline:
        [(state, error, staged)] = c.execute(
            "SELECT state, error, (SELECT count(*) FROM run_page p WHERE p.run_id = run.id) FROM run WHERE id = %s",
            [run],
        ).fetchall()
        if staged != pages:
            pages, pulled = staged, time.time()
        if state == "published":
            return pulled, time.time()
        if state not in ("queued", "pulling", "resolving"):
            raise RuntimeError(f"run {run} is {state}: {error}")
        time.sleep(0.1)
    raise RuntimeError(f"run {run} took longer than {_LONGEST:.0f} s")


def _outcome(c: "psycopg.Connection[tuple[Any, ...]]", run: int) -> tuple[float, dict[str, Any]]:
    """When the worker began it, and what it did: rows received, records changed, entities published."""
    [(began, counts)] = c.execute(
        "SELECT extract(epoch FROM started_at)::float8, counts FROM run WHERE id = %s", [run]
    ).fetchall()
    collections = counts["collections"]
    waiting = c.execute(
        "SELECT count(*) FROM waiting w JOIN run r USING (district_id) WHERE r.id = %s", [run]
    ).fetchone()
    assert waiting is not None
    return began, {
        "rows": sum(one["received"] for one in collections),
        "changed": sum(one["added"] + one["changed"] + one["gone"] for one in collections),
        "published": sum(sum(moves.values()) for moves in counts["published"].values()),
        "waiting": waiting[0],
        "rejected": sum(one["rejected"] for one in collections),
    }
