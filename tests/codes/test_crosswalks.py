"""A district's own code tables: laid over what is shipped, checked, undone; and which stored records they concern."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import codes, crosswalks
from gateway.codes import Proposal
from gateway.errors import ConfigError, Refused
from gateway.overrides import Override
from gateway.store import codes as stored
from gateway.store import reading, registers
from gateway.store.codes import Line
from gateway.store.database import Store
from gateway.store.payloads import Selection
from gateway.store.registers import Actor
from tests.codes.world import grades, missed, pull, write_package


async def test_codes_without_a_word_are_counted_as_long_as_records_have_them(
    store: Store, sis: registers.Connection, actor: Actor, tmp_path: Path
) -> None:
    unknown = {("unmapped", "grade", "Quinto"): 1, ("unmapped", "grade", "K9"): 2}
    assert await missed(store, sis.district) == unknown
    await pull(store, sis, actor)  # nothing changed, nothing is mapped: it is still so
    assert await missed(store, sis.district) == unknown
    write_package(tmp_path, ["05", "05", "05", "K9", ""])
    await pull(store, sis, actor)
    assert await missed(store, sis.district) == {("unmapped", "grade", "K9"): 1}


async def test_a_line_of_ones_own_and_a_default_are_used_by_the_next_pull_and_can_be_taken_back(
    store: Store, sis: registers.Connection, actor: Actor
) -> None:
    async def choose(*lines: Line) -> dict[str, Any]:
        assert await crosswalks.choose(store, sis.district, "oneroster", lines, actor)
        await pull(store, sis, actor)
        return await grades(store, sis.district)

    at_first = await grades(store, sis.district)
    assert at_first == {"pupil-0": "05", "pupil-1": None, "pupil-2": None, "pupil-3": None, "pupil-4": None}
    assert await choose(Line("grade", "Quinto", "05")) == at_first | {"pupil-1": "05"}
    assert await choose(Line("grade", None, "UG", "broader")) == at_first | {
        "pupil-1": "05", "pupil-2": "UG", "pupil-3": "UG",
    }  # fmt: skip
    assert await missed(store, sis.district) == {("defaulted", "grade", "K9"): 2}
    assert await choose(Line("grade", "05", "06")) == {
        "pupil-0": "06", "pupil-1": "05", "pupil-2": "UG", "pupil-3": "UG", "pupil-4": None,
    }  # fmt: skip
    await crosswalks.undo(store, sis.district, 2, actor)
    taken_back = await choose(Line("grade", "Quinto", match=None), Line("grade", "05", match=None))
    assert taken_back == at_first


async def test_a_default_does_not_speak_for_those_who_have_no_code(
    store: Store, sis: registers.Connection, actor: Actor
) -> None:
    await crosswalks.choose(store, sis.district, "oneroster", [Line("grade", None, "UG", "broader")], actor)
    await pull(store, sis, actor)
    assert (await grades(store, sis.district))["pupil-4"] is None


@pytest.mark.parametrize(
    ("mapping", "line", "code", "names"),
    [
        ("twooroster", Line("grade", "x", "05"), "crosswalk-unknown", ["oneroster"]),
        ("oneroster", Line("grades", "x", "05"), "crosswalk-unknown", ["grade", "sex"]),
        ("oneroster", Line("grade", "x", "5th"), "crosswalk-target", ["'5th'", "05", "KG"]),
        ("oneroster", Line("grade", "x", "05", "none"), "crosswalk-line", ["none"]),
        ("oneroster", Line("grade", "x", "", "exact"), "crosswalk-line", ["exact"]),
        ("oneroster", Line("grade", "x", "05", "perfect"), "crosswalk-line", ["'perfect'"]),
        ("oneroster", Line("grade", None, "", "none"), "crosswalk-target", ["default"]),
        ("oneroster", Line("grade", "x", match=None), "crosswalk-no-line", ["'x'"]),
        ("oneroster", Line("grade", None, match=None), "crosswalk-no-line", ["default"]),
        ("edfi", Line("out_service", "tutoring", "Tutoring"), "crosswalk-target", ["'Tutoring'"]),
        ("edfi", Line("out_service", "juggling", "uri://d.example.org/ServiceDescriptor#J"), "crosswalk-source",
         ["juggling", "tutoring"]),
        ("edfi", Line("out_service", None, "uri://d.example.org/ServiceDescriptor#J"), "crosswalk-source", ["default"]),
    ],
)  # fmt: skip
async def test_a_line_that_does_not_fit_is_refused_and_nothing_is_kept(
    store: Store, district: int, actor: Actor, mapping: str, line: Line, code: str, names: list[str]
) -> None:
    good = Line("grade", "y", "05") if mapping != "edfi" else Line("out_service", "mentoring", match="none")
    with pytest.raises(ConfigError) as refused:
        await crosswalks.choose(store, district, mapping, [good, line], actor)
    assert refused.value.code == code
    assert [name for name in names if name not in f"{refused.value.message} {refused.value.fix}"] == []
    async with store.transaction(district) as c:
        assert await stored.changes(c) == []


async def test_a_districts_own_code_goes_out(store: Store, district: int, actor: Actor) -> None:
    tutoring = Line("out_service", "tutoring", "uri://d.example.org/ServiceDescriptor#Tutoring")
    await crosswalks.choose(store, district, "edfi", [tutoring], actor)
    await registers.add_connection(store, district, "ods", "edfi", {}, {}, actor)
    async with store.transaction(district) as c:
        opened = await codes.opened(c, await registers.connection(store, district, "ods"))
    assert opened.crosswalks.translate("out_service", "tutoring") == tutoring.target
    assert codes.registry.mapping("edfi").codes().translate("out_service", "tutoring") is None


async def test_undo_puts_lines_back_as_they_were(store: Store, district: int, actor: Actor) -> None:
    async def lines() -> list[Line]:
        async with store.transaction(district) as c:
            return await stored.lines(c, "oneroster")

    async def choose(*wanted: Line) -> int | None:
        return await crosswalks.choose(store, district, "oneroster", wanted, actor)

    a, b, other = Line("grade", "a", "05"), Line("grade", "b", "06", "broader", "as agreed"), Line("grade", "a", "07")
    assert [await choose(a, b), await choose(a), await choose(other), await choose(other)] == [1, None, 2, None]
    with pytest.raises(Refused) as later:
        await crosswalks.undo(store, district, 1, actor)
    assert later.value.code == "crosswalk-changed-since" and "Undo change 2" in later.value.fix
    assert await crosswalks.undo(store, district, None, actor) == (2, "oneroster")
    assert await lines() == [a, b]
    assert await crosswalks.undo(store, district, 3, actor) == (3, "oneroster")  # undone, after all
    assert await lines() == [other, b]
    for number in (2, 1):
        assert await crosswalks.undo(store, district, None, actor) == (number, "oneroster")
    assert await lines() == []
    with pytest.raises(ConfigError):
        await crosswalks.undo(store, district, None, actor)
    with pytest.raises(ConfigError) as unknown:
        await crosswalks.undo(store, district, 99, actor)
    assert unknown.value.code == "crosswalk-change-unknown"


async def test_every_change_names_who_made_it_and_districts_do_not_share_lines(
    store: Store, district: int, actor: Actor
) -> None:
    await crosswalks.choose(store, district, "oneroster", [Line("grade", "x", "05")], actor)
    async with store.transaction(district) as c:
        [change] = await stored.changes(c)
    assert (change["change"], change["actor"]["name"], change["lines"]) == (1, actor.name, 1)
    neighbour = await registers.district(store, f"beside {district}")
    async with store.transaction(neighbour) as c:
        assert await stored.lines(c, "oneroster") == [] and await stored.changes(c) == []


async def test_what_a_change_concerns(store: Store, sis: registers.Connection, actor: Actor) -> None:
    async def concerned(*lines: Line, overrides: tuple[Override, ...] | None = None) -> Selection:
        async with store.transaction(sis.district) as c:
            return await crosswalks.concerned(c, sis, Proposal(lines, overrides))

    quinto, k9 = ("grade", "Quinto"), ("grade", "K9")
    assert await concerned(Line("grade", "Quinto", "05")) == Selection(codes=(quinto,))
    assert await concerned(Line("grade", "quinto", "05")) == Selection(codes=(quinto,))  # lower case means any case
    assert await concerned(Line("grade", "Eleventh", "11")) == Selection()
    assert await concerned(Line("grade", None, "UG", "broader")) == Selection(codes=(k9, quinto))
    assert await concerned(Line("grade", "05", "06")) == Selection(everything=True)
    assert await concerned(Line("grade", "Quinto", match=None)) == Selection()
    email = Override("users", "person", "email", "metadata.mail")
    assert await concerned(overrides=(email,)) == Selection(collections=("users",))
    await crosswalks.choose(store, sis.district, "oneroster", [Line("grade", "K9", "KG")], actor)
    async with store.transaction(sis.district) as c:
        assert await crosswalks.answered(c, sis) == Selection(codes=(k9,))
    await pull(store, sis, actor)
    async with store.transaction(sis.district) as c:
        assert await crosswalks.answered(c, sis) == Selection()


async def test_a_custom_column_is_read_by_name_and_nothing_else_of_it_is_kept(
    store: Store, sis: registers.Connection, actor: Actor, tmp_path: Path
) -> None:
    born = Override("users", "person", "birth_date", "metadata.Born")
    mail = Override("users", "person", "email", "metadata.DistrictMail")
    write_package(
        tmp_path,
        Born=["2011-03-14", "spring", "", "2012-01-31", "2013-12-01"],
        DistrictMail=["a@example.org", "", "c@example.org", "d@example.org", "e@example.org"],
        Locker=["planted-locker"] * 5,
    )
    await crosswalks.add_override(store, sis.district, "sis", born, actor)
    assert await crosswalks.add_override(store, sis.district, "sis", mail, actor)
    assert not await crosswalks.add_override(store, sis.district, "sis", mail, actor)
    await pull(store, sis, actor)
    people = {p["username"]: p for p in await reading.entities(store, sis.district, "person")}
    assert [people[f"pupil-{n}"].get("birth_date") for n in range(5)] == [
        "2011-03-14", None, None, "2012-01-31", "2013-12-01",
    ]  # fmt: skip
    assert people["pupil-0"]["email"] == "a@example.org" and "email" not in people["pupil-1"]
    assert (await missed(store, sis.district))["override", "person.birth_date", ""] == 1
    async with store.transaction(sis.district) as c:
        kept = str(await c.scalar(text("SELECT string_agg(body, ' ') FROM record")))
    assert "DistrictMail" in kept and "planted-locker" not in kept
    await crosswalks.remove_override(store, sis.district, "sis", Override("users", "person", "email", ""), actor)
    await pull(store, sis, actor)
    people = {p["username"]: p for p in await reading.entities(store, sis.district, "person")}
    assert "email" not in people["pupil-0"] and people["pupil-0"]["birth_date"] == "2011-03-14"
    with pytest.raises(ConfigError) as unknown:
        await crosswalks.remove_override(store, sis.district, "sis", mail, actor)
    assert unknown.value.code == "override-unknown"
