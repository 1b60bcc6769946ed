"""Runs against a system that goes wrong by the dice: what it does, how the run ended, and what is then published."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

from starlette.types import ASGIApp

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from gateway.errors import AuthError
from synthetic import District, build
from tests.e2e.office import Office
from tests.e2e.processes import Home, published, steer
from tests.serving import serve

Fault = dict[str, Any]

FOR_EVER = 1_000_000
PATIENCE = 0.6
TOO_SLOW = 0.9
LONGEST_WAIT = 60
ON_THEIR_WAY = 0.5
"""For so many seconds after a server asked for a rest, requests may reach it that were sent before."""

_COLLECTIONS = {
    "oneroster": ("orgs", "academicSessions", "courses", "classes", "users", "demographics", "enrollments",
                  "assessmentLineItems", "assessmentResults"),
    "edfi": ("schools", "students", "staffs", "contacts", "studentSchoolAssociations",
             "studentEducationOrganizationAssociations", "studentContactAssociations", "sessions", "courses",
             "courseOfferings", "sections", "studentSectionAssociations", "staffSectionAssociations",
             "studentAssessments"),
}  # fmt: skip
_TOKEN = {"oneroster": "/token", "edfi": "/oauth/token"}


# --- what goes wrong


def drawn(rng: Random, kind: str, so_far: Counter[str]) -> dict[str, Fault]:
    """One to four things that go wrong in one run, by category, each at a place of its own. All categories come about
    equally often: those first that came least."""
    fewest = sorted(CATEGORIES, key=lambda name: (so_far[name], rng.random()))
    names = fewest[: rng.choice([1, 1, 2, 2, 3, 4])]
    # A wrong clock answers whatever no other fault answers, so it comes last.
    return {name: CATEGORIES[name](rng, kind) for name in sorted(names, key=lambda name: name == "clock skew")}


def _anywhere(rng: Random, kind: str) -> Fault:
    """Some request: for a token, for a page of some collection, or the so-and-so-manieth whatever it is for."""
    place = rng.random()
    if place < 0.15:
        return {"path": _TOKEN[kind]}
    return _some_page(rng, kind) if place < 0.75 else {"path": "/", "skip": rng.randrange(30)}


def _some_page(rng: Random, kind: str) -> Fault:
    return {"path": f"/{rng.choice(_COLLECTIONS[kind])}?", "skip": rng.choice([0, 0, 1, 1, 2, 3]),
            "seed": rng.randrange(1_000_000)}  # fmt: skip


def _passing(rng: Random) -> int:
    """How often: mostly less often than is tried, sometimes until somebody mends it."""
    return rng.choice([1, 1, 1, 2, 2, 3, FOR_EVER])


def _busy(rng: Random, kind: str) -> Fault:
    return _anywhere(rng, kind) | {"kind": "status", "status": 429, "times": _passing(rng)}


def _busy_until(rng: Random, kind: str) -> Fault:
    """Seconds or a date, by a clock that is right or wrong; now and then longer than anybody waits."""
    wait = {"retry_after": rng.choice([1, 1, 1, 2, 2 * LONGEST_WAIT])}
    by_date = rng.choice([{}, {"ahead": 0.001}, {"ahead": 600}, {"ahead": -600}])
    status = {"kind": "status", "status": rng.choice([429, 429, 503]), "times": rng.choice([1, 1, 2])}
    return _anywhere(rng, kind) | status | wait | by_date


def _broken(rng: Random, kind: str) -> Fault:
    return _anywhere(rng, kind) | {"kind": "status", "status": rng.choice([500, 503]), "times": _passing(rng)}


def _slow(rng: Random, kind: str) -> Fault:
    times = rng.choice([1, 1, 1, 2, 2, 7])
    return _anywhere(rng, kind) | {"kind": "slow", "seconds": TOO_SLOW, "times": times}


def _cut(rng: Random, kind: str) -> Fault:
    return _anywhere(rng, kind) | {"kind": rng.choice(["truncate", "drop"]), "times": _passing(rng)}


def _mistyped(rng: Random, kind: str) -> Fault:
    """Of OneRoster a text for a list, a list of one, a number for a text and true for "true" are read as such."""
    into = rng.choice(["object"] if kind == "oneroster" else ["number", "list", "object", "text"])
    return _some_page(rng, kind) | {"kind": "mistype", "rows": rng.randrange(1, 4), "into": into}


def _expired(rng: Random, kind: str) -> Fault:
    return _some_page(rng, kind) | {"kind": "expire_tokens", "times": rng.choice([1, 1, 2])}


def _clock(rng: Random, kind: str) -> Fault:
    return {"kind": "clock", "path": "/", "ahead": rng.choice([600, -600, 90, -90]), "times": FOR_EVER}


def _miscounted(rng: Random, kind: str) -> Fault:
    return _some_page(rng, kind) | {"kind": "total", "skip": 0, "total": rng.choice([None, 1, 7, 30, 1000])}


def _pages(wrong: str) -> Callable[[Random, str], Fault]:
    def fault(rng: Random, kind: str) -> Fault:
        return _some_page(rng, kind) | {"kind": wrong, "rows": rng.randrange(1, 8)}

    return fault


CATEGORIES: Mapping[str, Callable[[Random, str], Fault]] = {
    "429": _busy,
    "429 or 503 with Retry-After": _busy_until,
    "5xx": _broken,
    "time-out": _slow,
    "truncated": _cut,
    "wrong type": _mistyped,
    "duplicate page": _pages("twice"),
    "missing page": _pages("missing"),
    "empty page": _pages("empty"),
    "unstable page": _pages("unstable"),
    "wrong total": _miscounted,
    "token expiry": _expired,
    "clock skew": _clock,
}


# --- what becomes of it


@dataclass
class Found:
    """How faulted runs ended. `rests`: how often a server named a time and was left alone until then."""

    runs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rests: int = 0

    def as_counts(self) -> dict[str, Any]:
        return {
            "runs": self.runs,
            "ended": dict(self.ended.most_common()),
            "held or failed because of": dict(self.reasons.most_common()),
            "runs with a fault of the category": dict(sorted(self.faults.items())),
            "rests that a server asked for, each kept": self.rests,
        }


Record = tuple[str, str]


@dataclass(frozen=True)
class State:
    """What a district holds: every table as a hash, the hashes of its records, and what each of them states."""

    tables: dict[str, tuple[int, str]]
    hashes: dict[Record, str]
    records: dict[Record, str]

    @classmethod
    def of(cls, office: Office) -> "State":
        tables = published(office.home, office.district)
        # What a run set aside is listed with it; by how many steps a state was reached is no part of it. A record's
        # body may hold another time of a refresh: its hash says whether anything that counts is different.
        kept = {name: found for name, found in tables.items() if name not in ("reject", "change", "record")}
        rows = office.home.sql(
            "SELECT r.collection, r.key, r.hash, coalesce(string_agg(concat_ws(' ', c.kind, c.key, c.same_as, "
            "c.anchor, c.rank, c.stated::text), '; ' ORDER BY c.n), '') "
            "FROM record r JOIN district d ON d.id = r.district_id LEFT JOIN claim c "
            "ON (c.connection_id, c.collection, c.record_key) = (r.connection_id, r.collection, r.key) "
            "WHERE d.name = %(name)s GROUP BY 1, 2, 3",
            name=office.district,
        )
        hashes = {(collection, key): hash for collection, key, hash, _ in rows}
        return cls(kept, hashes, {(collection, key): stated for collection, key, _, stated in rows})


@dataclass
class Source:
    """One system, a district that pulls it in peace, and others that pull it while it goes wrong."""

    kind: str
    url: str
    in_flight: int
    calm: Office
    tried: Sequence[Office]
    before: State  # of all of them

    @classmethod
    @contextmanager
    def connected(
        cls, home: Home, kind: str, name: str, rng: Random, *, tried: int, abreast: bool = False
    ) -> Iterator["Source"]:
        """A system with pages of 25 rows, and `tried` districts beside the one that sees it well. Which of its kind is
        drawn, or one whose pages are pulled three `abreast`."""
        district = build(schools=1, students=40, seed=rng.randrange(1_000_000))
        in_flight = 3 if abreast else rng.choice([1, 3, 16])
        with serve(_twin(rng, kind, district, abreast)) as url:
            offices = [Office(home, f"{name} {number}") for number in range(tried + 1)]
            size = {"page_size": rng.choice(["25", "1000"])} if kind == "oneroster" else {}
            for office in offices:
                patience = {} if office is offices[0] else {"patience": str(PATIENCE)}
                # Whole pulls: it is their pages that are disturbed, again and again.
                office.connect(kind, url, in_flight=str(in_flight), whole_every="0", **patience, **size)
            yield cls(kind, url, in_flight, offices[0], offices[1:], State.of(offices[0]))

    def evening(self, rng: Random, found: Found) -> None:
        """Everybody pulls once; who was disturbed and does not have all of it pulls again in peace."""
        run = self.calm.pull(self.kind)
        assert (run["state"], run["rejects"]) == ("published", 0), run
        whole = State.of(self.calm)
        for office in self.tried:
            self.disturbed(office, whole, drawn(rng, self.kind, found.faults), found)
        self.before = whole

    def change(self, rng: Random) -> None:
        """A few records more, fewer and different ones, as on any day."""
        change = {
            "without_students": rng.choice([0, 0.025, 0.05]),
            "with_new_students": rng.randrange(3),
            "moved": rng.choice([0.05, 0.1]),
        }
        steer(self.url, "POST", "change", change)

    def disturbed(self, office: Office, whole: State, faults: Mapping[str, Fault], found: Found) -> None:
        """One pull while these things go wrong, and if it does not bring all of it, another in peace that does."""
        steer(self.url, "PUT", "faults", list(faults.values()))
        steer(self.url, "DELETE", "log")
        done = office.home.run("pull", self.kind, "--json", district=office.district)
        run = json.loads(done.stdout)
        assert "id" in run, f"{office.district}, {faults}: {done.stdout} {done.stderr}"
        steer(self.url, "DELETE", "faults")
        what = f"{office.district}, run {run['id']}, {self.in_flight} in flight, {run['state']}, {faults}"
        found.rests += rested(steer(self.url, "GET", "log"), self.in_flight, what)
        after = State.of(office)
        end = ended(run, self.before, after, whole)
        assert not end.startswith("wrong"), f"{end}: {what}"
        found.runs += 1
        found.faults.update(faults.keys())
        found.ended[end] += 1
        found.reasons.update({run["error_code"]} if run["error_code"] else {hold["code"] for hold in run["holds"]})
        if after != whole:
            if run["exit_code"] == AuthError.exit_code:
                office.tell("connections", "resume", self.kind)
            again = office.pull(self.kind)
            assert (again["state"], again["rejects"]) == ("published", 0), f"{again['holds']}: {what}"
            assert State.of(office) == whole, what


def _twin(rng: Random, kind: str, district: District, abreast: bool) -> ASGIApp:
    """One of its kind: of the releases that page differently, with tokens that live longer or shorter."""
    seconds = rng.choice([300, 3600])
    if kind == "oneroster":
        return oneroster_twin(district, page_cap=25, token_seconds=seconds, totals=abreast or rng.random() < 0.7)
    standard, cursor = ("5.0", False) if abreast else rng.choice([("5.0", True), ("5.0", False), ("4.0", False)])
    return edfi_twin(district, page_limit=25, token_seconds=seconds, standard=standard, cursor=cursor)


def rested(log: Sequence[Mapping[str, Any]], in_flight: int, what: str) -> int:
    """How often the server asked for a rest. It got it each time: nothing came before the time that it named, but what
    was on its way already; and nothing at all where that was longer than anybody waits."""
    asked = 0
    for place, refused in enumerate(log):
        if refused["retry_after"] is None:
            continue
        asked += 1
        wait = refused["retry_after"] if refused["retry_after"] <= LONGEST_WAIT else inf
        early = [later["at"] - refused["at"] for later in log[place + 1 :] if later["at"] - refused["at"] < wait]
        assert len(early) < in_flight, f"{len(early)} requests before {wait} s: {what}"
        assert all(seconds < ON_THEIR_WAY for seconds in early), f"after {early} s instead of {wait} s: {what}"
    return asked


def ended(run: Mapping[str, Any], before: State, after: State, whole: State) -> str:
    """How a disturbed run ended, and that this is one of the ways in which it may."""
    if run["state"] == "failed" or (run["state"] == "held" and run["publication"] is None):
        return f"{run['state']}, nothing published" if after == before else f"wrong: {run['state']}"
    if after == whole:
        return "equal at once"
    if after.tables == whole.tables:
        return "equal but for a field that nobody reads"
    stale = {record for record in before.records | whole.records if _differ(record, after, whole)}
    if any(_differ(record, after, before) for record in stale):
        return "wrong: a record is neither what it was nor what it is"
    if run["state"] == "held":
        return "held, the removals wait"
    counts = {count["collection"]: count for count in run["counts"]["collections"]}
    kept = {name for name, key in stale if (name, key) not in whole.records}
    missing = Counter(name for name, key in stale if (name, key) in whole.records)
    if all(counts[name]["unkeyed"] for name in kept) and all(
        n <= counts[name]["rejected"] for name, n in missing.items()
    ):
        return "equal but for rows set aside" if stale else "wrong: only what follows from the records differs"
    return f"wrong: without a word {dict(missing)} differ, {kept} keeps"


def _differ(record: Record, one: State, other: State) -> bool:
    return one.records.get(record) != other.records.get(record)
