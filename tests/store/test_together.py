"""Statements that go to the driver together: what they may hold, what comes of them, and how they end."""

import pytest
from sqlalchemy import text

from gateway.store.database import DatabaseError, Store, literal, together

ODD = ["plain", "", 'a "quoted" one', "back\\slash", "com,ma", "{brace}", "NULL", "ein ü", "colon:name", "100 %"]


async def test_each_gives_its_rows_by_name(store: Store, district: int) -> None:
    asked = ("SELECT :one AS said, 17 % 5 AS rest, '1'::int AS cast_as", {"one": "5 % of :all"})
    async with store.begun(district, asked, ("SELECT n FROM generate_series(1, CAST(:n AS int)) n", {"n": 3})) as (
        c,
        found,
    ):
        [[row], numbers] = found
        assert (row.said, row.rest, row.cast_as) == ("5 % of :all", 2, 1)
        assert [one.n for one in numbers] == [1, 2, 3]
        assert await c.scalar(text("SELECT current_setting('planbridge.district')")) == str(district)
        assert await together(c, ("SELECT 1 AS n WHERE false", {})) == [[]]


@pytest.mark.parametrize("values", [ODD, [], [""], ["a", "b"], ['"'], ['a","b']])
async def test_a_list_of_texts_arrives_as_it_is(store: Store, values: list[str]) -> None:
    async with store.transaction() as c:
        [[row]] = await together(c, ("SELECT CAST(:given AS text[]) AS given", {"given": literal(values)}))
    assert row.given == values


async def test_a_statement_that_fails_is_an_error_of_the_database_and_leaves_nothing(
    store: Store, district: int
) -> None:
    note = ("INSERT INTO projection (district_id, number) VALUES (CAST(:d AS int), 7)", {"d": district})
    with pytest.raises(DatabaseError):
        async with store.begun(district) as (c, _):
            await together(c, note, ("SELECT 1 / CAST(:none AS int)", {"none": 0}), last=True)
    async with store.begun(district) as (c, _):
        await together(c, note, last=True)
    async with store.begun(district, ("SELECT number FROM projection", {})) as (_, [rows]):
        assert [row.number for row in rows] == [7]


async def test_what_is_served_is_steady_until_the_end(store: Store, district: int) -> None:
    change = "SELECT pg_try_advisory_xact_lock(hashtext('planbridge.served'), :d)"
    async with store.begun(district, steady=True), store.transaction(district) as other:
        assert not await other.scalar(text(change), {"d": district})
    async with store.begun(district), store.transaction(district) as other:
        assert await other.scalar(text(change), {"d": district})
