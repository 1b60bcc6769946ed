"""Workers as processes: several at once, told to stop, killed, all of them gone; and what they write meanwhile."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from connectors.oneroster.twin import twin
from gateway.cli.schedules import LATE
from synthetic import build
from tests.e2e.office import QuickHome
from tests.e2e.processes import Home, closed_port, steer, until
from tests.e2e.test_crash import SMALL, Run, System, a_system
from tests.serving import serve

TINY = build(schools=1, students=20, seed=12)
HEARTBEAT, TAKEOVER, POLL = 0.5, 2.0, 1.0
"""Seconds, as tests/e2e/processes.py sets them, and how often a free worker looks for jobs."""
PATIENT = {"PLANBRIDGE_TAKEOVER_SECONDS": "300"}
"""With these a job that goes on was handed back: nobody takes it over."""


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with QuickHome.made(laid=True) as made:
        made.run("status")
        yield made


@contextmanager
def two_workers(home: Home, **variables: str) -> Iterator[dict[int, "subprocess.Popen[bytes]"]]:
    """Two workers, by the number under which each reported for work, and none of them left afterwards."""
    pair: dict[int, subprocess.Popen[bytes]] = {}
    newest = "SELECT coalesce(max(id), 0) FROM procrastinate_workers"
    for _ in range(2):
        before = home.one(newest)
        process = home.start("worker", **variables)
        until(lambda before=before: home.one(newest) > before, "it reports for work")
        pair[home.one(newest)] = process
    try:
        yield pair
    finally:
        for process in pair.values():
            home.kill(process)
        home.sql("DELETE FROM procrastinate_workers RETURNING 1")


def who_has(home: Home, run: Run) -> int:
    """The worker that has the run's job."""
    doing = "SELECT worker_id FROM procrastinate_jobs WHERE status = 'doing' AND CAST(args->>'run' AS bigint) = %(run)s"
    return int(home.one(doing, run=run.number))


@pytest.fixture
def system() -> Iterator[System]:
    with a_system("oneroster", SMALL) as made:
        yield made


def schedule(home: Home, name: str, district: str) -> None:
    home.json("schedule", "set", name, "--cron", "0 2 * * *", "--zone", "America/Chicago", district=district)


def missed(home: Home, district: str, days: int = 0) -> None:
    """Its time has come, so many days ago."""
    home.sql(
        "UPDATE schedule SET next_due_at = now() - make_interval(days => %(days)s) WHERE district_id = "
        "(SELECT id FROM district WHERE name = %(district)s) RETURNING 1",
        days=days,
        district=district,
    )


def runs(home: Home, district: str) -> list[tuple[Any, ...]]:
    """(state, fence, began, ended) of every run."""
    return home.sql(
        "SELECT r.state, r.fence, r.started_at, r.finished_at FROM run r JOIN district d ON d.id = r.district_id "
        "WHERE d.name = %(district)s ORDER BY r.id",
        district=district,
    )


# --- several at once ----------------------------------------------------------------------------------------


def test_two_workers_share_connections_and_never_a_connection(home: Home) -> None:
    """Three connections are due again and again while both work, two jobs each: never one connection twice."""
    districts = [f"shared {n}" for n in range(3)]
    with serve(twin(TINY, page_cap=10)) as url, two_workers(home):
        for district in districts:
            home.connect_oneroster(url, district=district)
            schedule(home, "oneroster", district)
        steer(url, "PUT", "faults", [{"kind": "slow", "path": "/v1p2/", "times": 1_000_000, "seconds": 0.05}])
        at_once, skipped = False, False

        def all_pulled_twice() -> bool:
            """And both workers were seen at work at the same moment, and a connection due while it was being pulled:
            it goes on until each has been seen."""
            nonlocal at_once, skipped
            for district in districts:
                missed(home, district)
            doing = home.sql("SELECT lock, worker_id FROM procrastinate_jobs WHERE status = 'doing'")
            assert len({lock for lock, _ in doing}) == len(doing)
            at_once = at_once or len({worker for _, worker in doing}) == 2
            skipped = skipped or bool(home.sql("SELECT 1 FROM schedule WHERE last_skipped = 'run-under-way'"))
            pulled = [sum(state == "published" for state, *_ in runs(home, district)) for district in districts]
            return at_once and skipped and min(pulled) >= 2

        until(all_pulled_twice, "every connection is pulled twice, two of them at the same moment", 240)
    for district in districts:
        over = [(began, ended) for _, _, began, ended in runs(home, district) if ended is not None]
        assert all(ended <= began for (_, ended), (began, _) in pairwise(over)), over
    home.sql("UPDATE schedule SET enabled = false RETURNING 1")


def test_what_was_missed_while_nobody_worked_is_made_up_for_once(home: Home, system: System) -> None:
    district = "missed"
    name = system.connect(home, district)
    schedule(home, name, district)
    missed(home, district, days=9)
    pair = [home.start("worker", "--until-empty"), home.start("worker", "--until-empty")]
    assert [worker.wait(60) for worker in pair] == [0, 0], [home.said(worker) for worker in pair]
    assert [state for state, *_ in runs(home, district)] == ["published"]
    [kept] = home.json("schedule", "list", district=district)
    assert kept["last_skipped"] is None and kept["last_run"] is not None


# --- told to stop -------------------------------------------------------------------------------------------


def test_a_worker_that_is_told_to_stop_hands_its_run_to_a_free_one_at_once(home: Home, system: System) -> None:
    """What was on its way is staged: nobody asks for any page again."""
    with two_workers(home, **PATIENT) as pair, Run.queued(home, system, "told to stop") as run:
        until(lambda: run.reached(3), "one pulls")
        stopped_in(home, pair[who_has(home, run)], 10)
        until(lambda: runs(home, run.district)[0][1] == 2, "the free one has it", POLL + 3)
        until(run.over, "and ends it", 60)
        system.no_page_again(set())


def test_a_worker_that_is_told_to_stop_while_it_publishes_leaves_nothing_half_done(home: Home, system: System) -> None:
    with Run.queued(home, system, "stopped publishing") as run:
        district = home.one("SELECT id FROM district WHERE name = %(name)s", name=run.district)
        with home.database() as other:
            other.execute(b"SELECT pg_advisory_lock(hashtext('planbridge.publish'), %s)", [district])
            worker = home.start("worker", **PATIENT)
            waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            until(lambda: home.sql(waiting), "it waits for the district's lock")
            stopped_in(home, worker, 10)
        until(run.alone, "its sessions are gone")
        publications = "SELECT count(*) FROM publication WHERE district_id = %(district)s"
        assert home.one(publications, district=district) == 0
        successor = home.start("worker", **PATIENT)
        until(run.over, "another one publishes it", 60)
        home.stop(successor)
        assert home.one(publications, district=district) == 1


def test_up_that_is_told_to_stop_hands_its_run_back_too(home: Home, system: System) -> None:
    with Run.queued(home, system, "up and down") as run:
        up = home.start("up", "--port", str(closed_port()), **PATIENT)
        until(lambda: run.reached(3), "its worker pulls", 60)
        stopped_in(home, up, 12)
        assert "Traceback" not in home.said(up)
        home.run("status")  # the database went down with it
        assert home.sql("SELECT status FROM procrastinate_jobs") == [("todo",)]
    home.sql("DELETE FROM procrastinate_jobs RETURNING 1")


def stopped_in(home: Home, process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """SIGTERM: it ends well, and soon."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, home.said(process)
    assert time.monotonic() - began < seconds


# --- killed -------------------------------------------------------------------------------------------------


def test_a_killed_workers_run_is_taken_over_in_the_time_that_is_promised(home: Home, system: System) -> None:
    """Silence until it counts as dead, until somebody looks, until somebody fetches: 30 + 10 + 1 s by default."""
    with two_workers(home) as pair, Run.queued(home, system, "taken over") as run:
        until(lambda: run.reached(3), "one pulls")
        home.kill(pair[who_has(home, run)])
        killed = time.monotonic()
        until(lambda: runs(home, run.district)[0][1] == 2, "the other has it")
        assert time.monotonic() - killed < TAKEOVER + HEARTBEAT + POLL + 2, "two seconds for a busy machine"
        until(run.over, "and ends it", 60)


# --- all of them gone -----------------------------------------------------------------------------------------


def test_with_every_worker_stopped_status_says_which_connection_is_late(home: Home, system: System) -> None:
    district = "silent"
    name = system.connect(home, district)
    home.json("pull", name, district=district)
    assert home.run("status", "--max-age", "26h", district=district).returncode == 0
    home.sql(
        "UPDATE run SET good_at = good_at - interval '27 h' WHERE district_id = "
        "(SELECT id FROM district WHERE name = %(district)s) RETURNING 1",
        district=district,
    )
    home.sql("UPDATE connection SET created_at = created_at - interval '99 h' RETURNING 1")
    done = home.run("status", "--max-age", "26h", district=district)
    assert done.returncode == LATE
    assert f"Late: {name} ({district}), silent for 27 h" in done.stdout and "No worker is alive" in done.stdout
    said = home.json("status", "--max-age", "26h", district=district, code=LATE)
    assert (said["late"], said["worker"]) == ([name], False)
    assert home.run("status", "--max-age", "28h", district=district).returncode == 0
    assert home.run("status", "--max-age", "26h", district="nowhere").returncode == 2


def test_schedules_as_people_write_and_read_them(home: Home, system: System) -> None:
    name = system.connect(home, "written down")
    on = ("schedule", "set", name, "--cron", "0 2 * * 1-5", "--zone", "America/Chicago")
    said = home.run(*on, "--jitter", "10m", "--window", "20:00-06:00", district="written down").stdout
    assert f"{name} is due first on " in said and "late after 3 d 2 h" in said
    listed = home.run("schedule", "list", district="written down").stdout
    assert all(word in listed for word in (name, "0 2 * * 1-5", "America/Chicago", "10 min", "20:00-06:00"))
    said = home.run(*on, "--limit", "30h", district="written down").stdout
    assert "late after 30 h 0 min" in said
    assert "off its schedule" in home.run("schedule", "off", name, district="written down").stdout
    assert home.json("schedule", "off", name, district="written down", code=2)["error"] == "schedule-missing"
    assert home.json(*on, "--window", "8-9", district="written down", code=2)["error"] == "window-invalid"
    acts = "SELECT act FROM act a JOIN district d ON d.id = a.district_id WHERE d.name = 'written down' ORDER BY seq"
    assert [act for (act,) in home.sql(acts)] == ["connect", "schedule", "schedule", "schedule-off"]


# --- what they write ------------------------------------------------------------------------------------------


def test_what_processes_write_is_json_with_ids_and_nothing_of_a_person(home: Home) -> None:
    """Also where the database refuses a statement, and says in its own words what stood in it."""
    district = "written"
    worker = home.start("worker")
    until(lambda: home.one("SELECT count(*) FROM procrastinate_workers") == 1, "it reports for work")
    with serve(twin(TINY)) as url, home.database() as database:
        name = home.connect_oneroster(url, district=district)
        steer(url, "PUT", "faults", [{"kind": "mistype", "path": "/users", "rows": 2}])
        assert home.json("pull", name, district=district)["state"] == "published"
        kept = home.one("SELECT string_agg(CAST(doc AS text), ' ') FROM entity WHERE kind = 'person'")
        database.execute(
            b"CREATE FUNCTION quoting() RETURNS trigger LANGUAGE plpgsql AS "
            b"$$ BEGIN RAISE EXCEPTION 'refused: %', OLD.doc USING DETAIL = OLD.doc; END $$"
        )
        database.execute(
            b"CREATE TRIGGER quoting BEFORE DELETE OR UPDATE ON entity FOR EACH ROW EXECUTE FUNCTION quoting()"
        )
        steer(url, "POST", "change", {"without_students": 0.1})
        failed = home.run("pull", name, district=district)
        database.execute(b"DROP FUNCTION quoting CASCADE")
    assert failed.returncode == 1
    assert home.one("SELECT error_code FROM run ORDER BY id DESC LIMIT 1") == "internal-error"
    home.stop(worker)
    said = home.said(worker)
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line for line in lines if line["level"] == "ERROR" and "a fault of ours" in line["message"]]
    about_runs = [line for line in lines if line["message"].startswith("run ")]
    assert about_runs and all({"job", "run", "district", "connection"} <= line.keys() for line in about_runs)
    personal = [value for student in TINY.students for value in (student.number, student.family, student.email)]
    assert sum(value in kept for value in personal) > 30, "there is something to be found"
    assert [value for value in personal for text in (said, failed.stdout, failed.stderr) if value in text] == []
