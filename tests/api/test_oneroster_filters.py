"""What a filter means: its grammar, and every comparison against a plain reading of the records."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gateway.api.oneroster import filters
from gateway.api.oneroster.answers import Trouble
from gateway.errors import ConfigError
from gateway.queries import Clause, Filter, Query
from gateway.served import COLLECTIONS
from gateway.settings import Settings
from gateway.store import registers, serving
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api import wire
from tests.api.wire import RECORDS, Laid, name


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", Filter()),
        ("familyName='Quill'", Filter((Clause("familyName", "=", "Quill"),))),
        (" familyName != 'Quill' ", Filter((Clause("familyName", "!=", "Quill"),))),
        ("a>='1'", Filter((Clause("a", ">=", "1"),))),
        ("a<'1'", Filter((Clause("a", "<", "1"),))),
        ("school.sourcedId='x'", Filter((Clause("school.sourcedId", "=", "x"),))),
        ("metadata.planbridge:house~'x y'", Filter((Clause("metadata.planbridge:house", "~", "x y"),))),
        ("a='O''Neil'", Filter((Clause("a", "=", "O'Neil"),))),
        ("a=''", Filter((Clause("a", "=", ""),))),
        ("a='1' AND b='2'", Filter((Clause("a", "=", "1"), Clause("b", "=", "2")))),
        ("a=' AND ' or b~'='", Filter((Clause("a", "=", " AND "), Clause("b", "~", "=")), either=True)),
    ],
)
def test_a_filter_is_read(given: str, meant: Filter) -> None:
    assert filters.read(given) == meant


@pytest.mark.parametrize(
    "given",
    [
        "a", "a=", "a=1", "a=\"1\"", "a='1", "a='1'b='2'", "a='1'AND b='2'", "a='1' AND", "a='1' XOR b='2'",
        "a='1' AND b='2' AND c='3'", "a='1' AND b='2' OR c='3'", "='1'", "a=='1'", "a='O'Neil'", "a='\0'", "a.='1",
        "(a='1')", "a IN ('1')", "a='" + "x" * 2000 + "'", "a='1' ANDb='2'",
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(Trouble) as refused:
        filters.read(given)
    assert (refused.value.status, refused.value.minor) == (400, "invalid_filter_field")
    assert given not in refused.value.description or len(given) < 4


# --- against a plain reading of the records ------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(settings: Settings) -> Iterator[Callable[[Query], list[str]]]:
    """Gives the ids that answer a question, in their order; checks the total on the way."""
    with asyncio.Runner() as runner:
        store: Store = runner.run(Store.open(settings))
        district = runner.run(registers.district(store, "filters"))
        laid: Laid = runner.run(wire.lay(store, district, Actor("it@district.example.org", "district_it")))

        async def found(query: Query) -> list[str]:
            async with store.transaction(district) as c:
                page = await serving.page(c, district, laid.agreement, query)
            assert page.total == len(page.rows)
            return [row.sourced_id for row in page.rows]

        yield lambda query: runner.run(found(query))
        runner.run(store.close())


def there(collection: str, clause: Clause | None = None) -> dict[str, dict[str, Any]]:
    """The records that a program sees, by id."""
    return {
        name(short): {"sourcedId": name(short), "status": "active", **record}
        for short, record in RECORDS[collection].items()
        if short.partition("-")[0] not in ("hidden", "gone", "left")
    }


def values(record: Any, path: str) -> list[Any]:
    """Every value to which a path leads."""
    found = [record]
    for step in path.split("."):
        found = [one[step] for one in found if isinstance(one, dict) and step in one]
        found = list(itertools.chain.from_iterable(one if isinstance(one, list) else [one] for one in found))
    return found


def holds(clause: Clause, record: Any, type: str) -> bool:
    fold = str if type in ("ref", "refs") else str.lower  # ids are as they are
    stated = [fold(str(one)) for one in values(record, clause.field)]
    wanted = fold(clause.value)
    if type in ("list", "refs"):
        parts = [part.strip() for part in wanted.split(",")]
        every = set(parts) <= set(stated) or wanted in stated
        some = bool(set(parts) & set(stated)) or wanted in stated
        return {"=": every and bool(stated), "!=": not (every and bool(stated)), "~": some}[clause.op]
    if type == "object":
        return {"=": wanted in stated, "!=": wanted not in stated, "~": any(wanted in one for one in stated)}[clause.op]
    if not stated:
        return clause.op == "!="
    here: Any = stated[0]
    if type == "number":
        here, wanted = float(here), float(wanted)
    elif type == "datetime":
        here, wanted = datetime.fromisoformat(here.upper()), datetime.fromisoformat(wanted.upper())
    return {
        "=": here == wanted, "!=": here != wanted, ">": here > wanted, ">=": here >= wanted, "<": here < wanted,
        "<=": here <= wanted, "~": type in ("text", "ref") and wanted in here,
    }[clause.op]  # fmt: skip


ORDER = ("=", "!=", ">", ">=", "<", "<=")
OPS: dict[str, tuple[str, ...]] = {
    "text": (*ORDER, "~"), "ref": (*ORDER, "~"), "number": ORDER, "date": ORDER, "datetime": ORDER,
    "boolean": ("=", "!="), "list": ("=", "!=", "~"), "refs": ("=", "!=", "~"), "object": ("=", "!=", "~"),
}  # fmt: skip
LIKE = {"number": "3.5", "date": "2026-08-20", "datetime": "2026-09-08T00:00:00.000Z", "boolean": "true"}
FREE = [("users", "metadata.house", "object"), ("users", "metadata.points", "object"),
        ("classes", "school.type", "object")]  # fmt: skip
FIELDS = [
    (one.name, f"{column.path}.sourcedId" if column.type in ("ref", "refs") and "sourcedId" not in column.path
     else column.path, column.type)
    for one in COLLECTIONS.values() for column in one.columns
] + [(one, "sourcedId", "ref") for one in COLLECTIONS] + FREE  # fmt: skip


@st.composite
def clauses(draw: st.DrawFn, collection: str) -> tuple[Clause, str]:
    _, path, type = draw(st.sampled_from([one for one in FIELDS if one[0] == collection]))
    stated = [str(one) for record in there(collection).values() for one in values(record, path)]
    texts = [*stated, *(one.upper() for one in stated if type in ("text", "list")), *(one[1:3] for one in stated)]
    odd = ["", "quill", "%", "_", "\\", "05,06", "Art, Music", "Drama,art", "'", "O'", "100%"]
    choice = [*stated, LIKE[type]] if type in LIKE else [*texts, *odd]
    return Clause(path, draw(st.sampled_from(OPS[type])), draw(st.sampled_from(choice))), type  # type: ignore[arg-type]


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, list[tuple[Clause, str]], bool]:
    collection = draw(st.sampled_from(sorted(COLLECTIONS)))
    return collection, draw(st.lists(clauses(collection), min_size=1, max_size=2)), draw(st.booleans())


@examples(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions())
@example(question=("users", [(Clause("familyName", "=", "o'quill"), "text")], False))
@example(question=("users", [(Clause("familyName", "=", "ÄMTER"), "text")], False))
@example(question=("courses", [(Clause("subjects", "=", "art, music"), "list")], False))
@example(question=("classes", [(Clause("location", "~", "%"), "text")], False))
def test_a_filter_finds_what_a_plain_reading_finds(
    asked: Callable[[Query], list[str]], question: tuple[str, list[tuple[Clause, str]], bool]
) -> None:
    collection, pairs, either = question
    filter = Filter(tuple(clause for clause, _ in pairs), either)
    joined = any if either else all
    expected = sorted(
        id for id, record in there(collection).items() if joined(holds(clause, record, type) for clause, type in pairs)
    )
    assert asked(Query(wire.view(collection), filter=filter)) == expected


@pytest.mark.parametrize(
    ("field", "op", "value"),
    [
        ("nothing", "=", "x"), ("school", "=", "x"), ("terms", "~", "x"), ("metadata", "=", "x"), ("title.x", "=", "y"),
        ("grades", ">", "05"), ("terms.sourcedId", "<", "x"), ("dateLastModified", "~", "2026"),
        ("dateLastModified", ">", "yesterday"), ("at", "=", "2026-01-01"), ("school_id", "=", "x"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_says_why(asked: Callable[[Query], list[str]], field: str, op: Any, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        asked(Query(wire.view("classes"), filter=Filter((Clause(field, op, value),))))
    assert refused.value.code == "filter-unusable"


@pytest.mark.parametrize(
    ("collection", "field", "op", "value"),
    [("demographics", "birthDate", "=", "4 April"), ("results", "score", ">", "nan"), ("results", "score", ">", "x"),
     ("enrollments", "primary", "=", "yes"), ("enrollments", "primary", ">", "true"), ("results", "score", "~", "8")],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(
    asked: Callable[[Query], list[str]], collection: str, field: str, op: Any, value: str
) -> None:
    with pytest.raises(ConfigError):
        asked(Query(wire.view(collection), filter=Filter((Clause(field, op, value),))))


def test_the_gone_are_told_only_to_who_asks_by_time_or_status(asked: Callable[[Query], list[str]]) -> None:
    users = Query(wire.view("users"))
    active = asked(users)
    assert len(active) == len(RECORDS["users"]) - 3

    def told(*clauses: Clause, either: bool = False) -> set[str]:
        return set(asked(replace(users, filter=Filter(clauses, either))))

    dead = {name("gone"), name("left")}
    assert told(Clause("status", "=", "tobedeleted")) == dead
    assert told(Clause("status", "!=", "active")) == dead
    assert told(Clause("status", "=", "Active")) == set(active)
    assert told(Clause("dateLastModified", ">", "2020-01-01T00:00:00Z")) == {*active, *dead}
    # Nothing is found out of somebody who left: the row is told whatever it says by now. What is gone stays findable.
    assert told(Clause("status", "=", "tobedeleted"), Clause("familyName", "=", "nobody")) == {name("left")}
    assert told(Clause("status", "=", "tobedeleted"), Clause("grades", "=", "05")) == dead


def test_time_is_compared_as_it_is_shown(asked: Callable[[Query], list[str]]) -> None:
    last = max(RECORDS["orgs"], key=list(RECORDS["orgs"]).index)
    at = (wire.START + timedelta(seconds=len(RECORDS["orgs"]) - 1)).astimezone(UTC)

    def count(op: Any, moment: datetime) -> int:
        clause = Clause("dateLastModified", op, moment.isoformat())
        return len(asked(Query(wire.view("orgs"), filter=Filter((clause,)))))

    assert [count(op, at) for op in ("=", "!=", ">", ">=", "<", "<=")] == [1, 2, 0, 1, 2, 3]
    assert asked(Query(wire.view("orgs"), filter=Filter((Clause("dateLastModified", "=", at.isoformat()),)))) == [
        name(last)
    ]
