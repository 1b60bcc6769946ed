"""A worker that dies, or is taken for dead, in the middle of a run: what is staged stays, nothing is written twice."""

import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from urllib.parse import parse_qs

import psycopg
import pytest

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from synthetic import District, build
from tests.e2e.processes import Home, published, steer, tables, until
from tests.serving import serve

SEED = 20_260_817
SMALL = build(schools=2, students=60, seed=SEED)
IN_FLIGHT = 3
FENCED_OUT = 75


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with Home.made(laid=True) as made:
        yield made


@pytest.fixture(scope="module")
def pulled(request: pytest.FixtureRequest, home: Home) -> Iterator[tuple["System", "Whole"]]:
    """A system, and what an undisturbed run makes of it."""
    with a_system(request.param, SMALL) as system:
        yield system, undisturbed(home, system)


@pytest.mark.parametrize("pulled", ["oneroster", "edfi"], indirect=True)
def test_a_killed_worker_costs_no_page_and_changes_nothing(home: Home, pulled: tuple["System", "Whole"]) -> None:
    killed = interrupted(home, *pulled, f"{pulled[0].kind} killed", Random(SEED), pulling=1, resolving=1)
    assert killed["pulling"] == 1


@pytest.mark.parametrize("pulled", ["oneroster"], indirect=True)
def test_a_worker_that_wakes_up_after_its_takeover_writes_nothing_and_ends(
    home: Home, pulled: tuple["System", "Whole"]
) -> None:
    stopped_and_woken(home, *pulled, "stopped", Random(SEED))


# --- what the proof of fifty kills does too ---------------------------------------------------------------


@dataclass(frozen=True)
class System:
    """A twin that plays one district, and how a home connects to it."""

    kind: str
    url: str

    def connect(self, home: Home, district: str) -> str:
        """Connect it to a district; returns the name of the connection."""
        connect = home.connect_oneroster if self.kind == "oneroster" else home.connect_edfi
        return connect(self.url, district=district, in_flight=str(IN_FLIGHT))

    def dawdle(self) -> None:
        """From now on every page takes a while."""
        slow = {"kind": "slow", "path": "/v1p2/" if self.kind == "oneroster" else "/ed-fi/", "seconds": 0.03}
        steer(self.url, "PUT", "faults", [slow | {"times": 1_000_000}])

    def asked(self) -> list[tuple[str, str]]:
        """The requests for data since the last time, as (path, query)."""
        log = [(entry["path"], entry["query"]) for entry in steer(self.url, "GET", "log")]
        steer(self.url, "DELETE", "log")
        return [(path, query) for path, query in log if _COLLECTION.search(path)]

    def no_page_again(self, staged: set[tuple[str, str]]) -> None:
        """Since the last time nothing was asked for that was `staged` then, nor anything twice."""
        asked = Counter(self.asked())
        assert [request for request in asked if _page(*request) in staged] == []
        assert [request for request, times in asked.items() if times > 1] == []


@contextmanager
def a_system(kind: str, district: District) -> Iterator[System]:
    """A twin with pages of 25 rows."""
    app = oneroster_twin(district, page_cap=25) if kind == "oneroster" else edfi_twin(district, page_limit=25)
    with serve(app) as url:
        yield System(kind, url)


@dataclass(frozen=True)
class Run:
    """One run, seen from outside through the database."""

    number: int
    district: str
    database: "psycopg.Connection[tuple[object, ...]]"

    @classmethod
    @contextmanager
    def queued(cls, home: Home, system: System, district: str) -> Iterator["Run"]:
        """Connect the system to a district of its own and ask for a pull, which no worker has begun yet."""
        name = system.connect(home, district)
        number = home.json("pull", name, "--no-wait", district=district)["id"]
        system.dawdle()
        system.asked()
        with home.database() as database:
            yield cls(number, district, database)

    def over(self) -> bool:
        """Whether it is published; a run that ended otherwise is a failure at once."""
        [(state, error)] = self._ask("SELECT state, error FROM run WHERE id = %s")
        assert state in ("queued", "pulling", "resolving", "published"), error
        return state == "published"

    def told(self) -> bool:
        """Whether somebody has looked whether its end is to be told."""
        return self._ask("SELECT told = state FROM run WHERE id = %s") == [(True,)]

    def pages(self) -> set[tuple[str, str]]:
        """The pages that are staged, as (collection, where it begins)."""
        rows = self._ask("SELECT collection, cursor FROM run_page WHERE run_id = %s")
        return {(str(collection), _place(str(cursor))) for collection, cursor in rows}

    def reached(self, count: int) -> bool:
        """Whether so many pages are staged."""
        return len(self.pages()) >= count

    def got_to(self, count: int) -> bool:
        """The same, or whether there are no more."""
        return self.reached(count) or self.resolving() or self.over()

    def resolving(self) -> bool:
        """Whether a district is locked for publishing: what that writes is not to be seen before it is published."""
        lock = "CAST(CAST(hashtext('planbridge.publish') AS bit(32)) AS bigint)::oid"
        query = f"SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = {lock} AND %s > 0"
        return bool(self._ask(query))

    def alone(self) -> bool:
        """Whether the database has noticed that nobody else is connected."""
        return not self._ask(
            "SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND %s > 0"
        )

    def _ask(self, query: str) -> list[tuple[object, ...]]:
        return self.database.execute(query.encode(), [self.number]).fetchall()


@dataclass(frozen=True)
class Whole:
    """What an undisturbed run does."""

    state: dict[str, tuple[int, str]]
    pages: int
    seconds_to_resolve: float


def undisturbed(home: Home, system: System) -> Whole:
    """Pull once in peace, in a district of its own."""
    with Run.queued(home, system, f"{system.url} in peace") as run:
        worker = home.start("worker")
        until(lambda: run.resolving() or run.over(), "the run resolves")
        began = time.monotonic()
        until(run.over, "the run is published")
        seconds = time.monotonic() - began
        home.stop(worker)
        return Whole(published(home, run.district), len(run.pages()), seconds)


def interrupted(
    home: Home, system: System, whole: Whole, district: str, rng: Random, *, pulling: int, resolving: int
) -> Counter[str]:
    """One run whose worker is killed at seeded moments; returns how often in which phase.

    Each time a new worker goes on. It asks for no page that is staged, and in the end the district holds what
    an undisturbed run makes of the same source.
    """
    killed: Counter[str] = Counter()
    staged: set[tuple[str, str]] = set()
    with Run.queued(home, system, district) as run:
        for count in [*sorted(rng.sample(range(1, whole.pages), pulling)), *[whole.pages] * resolving]:
            worker = home.start("worker")
            # A worker that has yet to learn how large a page may be asks for other pages, and fewer may do.
            until(partial(run.got_to, count), f"{count} pages are staged, or all there are")
            if count == whole.pages:
                until(lambda: run.resolving() or run.over(), "the run resolves")
                time.sleep(rng.random() * whole.seconds_to_resolve)
            phase = "resolving" if run.resolving() else "pulling"
            home.kill(worker)
            until(run.alone, "the database drops the dead worker's sessions")
            time.sleep(0.05)  # what the dead worker had asked for has reached the twin
            killed["too late" if run.over() else phase] += 1
            system.no_page_again(staged)
            staged = run.pages()
            if run.over():
                break
        else:
            worker = home.start("worker")
            until(run.over, "the last worker publishes the run")
            home.stop(worker)
            system.no_page_again(staged)
    assert published(home, district) == whole.state
    return killed


def stopped_and_woken(
    home: Home, system: System, whole: Whole, district: str, rng: Random, *, resolving: bool = False
) -> None:
    """A worker stopped in the middle of a run; another finishes; the first, woken, writes nothing and ends.

    One that is stopped while it resolves holds the district's lock, until the database loses its patience.
    """
    count = whole.pages if resolving else rng.randrange(1, whole.pages // 2)
    with Run.queued(home, system, district) as run:
        sleeper = home.start("worker")
        until(partial(run.reached, count), f"{count} pages are staged")
        until(lambda: run.resolving() or not resolving, "the run resolves")
        sleeper.send_signal(signal.SIGSTOP)
        assert not run.over()
        successor = home.start("worker")
        until(run.over, "another worker finishes the run", 150)
        until(run.told, "and looks after notices, which any worker does that is alive")
        home.stop(successor)
    assert published(home, district) == whole.state
    before = tables(home)
    system.asked()
    sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(timeout=30) == FENCED_OUT
    assert tables(home) == before
    assert len(system.asked()) <= 2 * IN_FLIGHT, "it ends with the first page that it tries to write"


_COLLECTION = re.compile(r"/(?:v1p2|ed-fi)/(\w+)")


def _place(cursor: str) -> str:
    """Where a page begins: the offset of `500-1000` and `offset:500:25`, the token of `token:abc`."""
    kind, _, rest = cursor.partition(":")
    if kind == "token":
        return rest
    return rest.partition(":")[0] or kind.partition("-")[0] or "0"


def _page(path: str, query: str) -> tuple[str, str]:
    """The page that a request is for, or helps to find: counting and partitions belong to the first."""
    found, asked = _COLLECTION.search(path), parse_qs(query)
    assert found is not None
    [place] = asked.get("pageToken") or asked.get("offset") or ["0"]
    return found[1], place
