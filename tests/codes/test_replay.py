"""What is stored, read once more: what a crosswalk changes, seen beforehand and then done; rejects and their life."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import crosswalks, jobs, rejects, replay, staging, sync
from gateway.codes import as_read, opened
from gateway.connector import START
from gateway.errors import ConfigError, Refused
from gateway.overrides import Override
from gateway.replay import Wanted
from gateway.store import history, payloads, registers, runs
from gateway.store import rejects as stored
from gateway.store.codes import Line
from gateway.store.database import Store
from gateway.store.payloads import Selection
from gateway.store.registers import Actor, Connection
from tests.codes.world import carried_out, grades, missed, pull, write_package

KG = Line("grade", "K9", "KG")
NOTHING_ELSE = {"received": 2, "added": 0, "changed": 0, "remapped": 2, "gone": 0, "same": 0, "rejected": 0}


async def sql(store: Store, district: int, statement: str) -> list[tuple[Any, ...]]:
    async with store.transaction(district) as c:
        return [tuple(row) for row in (await c.execute(text(statement))).all()]


async def causes(store: Store, district: int) -> dict[tuple[str, str, str], int]:
    async with store.transaction(district) as c:
        return {(one["collection"], one["code"], one["field"]): one["records"] for one in await stored.causes(c)}


async def again(store: Store, sis: Connection, actor: Actor, **what: Any) -> dict[str, Any]:
    """Replay rejects to the end of the run."""
    [asked] = await rejects.replay(store, sis.district, actor, **what)
    assert asked.run is not None
    return await carried_out(store, sis.district, asked.run)


def counted(run: dict[str, Any]) -> dict[str, int]:
    [users] = run["counts"]["collections"]
    return {name: users[name] for name in NOTHING_ELSE}


# --- codes


async def test_a_new_line_is_seen_beforehand_and_then_does_just_that_without_the_source(
    store: Store, sis: Connection, actor: Actor, tmp_path: Path
) -> None:
    before = await grades(store, sis.district)
    (tmp_path / "manifest.csv").unlink()  # nobody asks the source again
    [number] = await crosswalks.preview(store, sis.district, "oneroster", [KG], actor)
    preview = await carried_out(store, sis.district, number)
    assert (preview["state"], preview["mode"], preview["kind"]) == ("compared", "dry", "replay")
    assert await grades(store, sis.district) == before
    changes = await history.previewed(store, sis.district, number, 10)
    assert [(one["kind"], one["op"]) for one in changes] == [("person", "changed")] * 2
    assert await missed(store, sis.district) == {("unmapped", "grade", "Quinto"): 1, ("unmapped", "grade", "K9"): 2}

    await crosswalks.choose(store, sis.district, "oneroster", [KG], actor)
    done = await carried_out(store, sis.district, await crosswalks.replay(store, sis.district, "sis", actor))
    assert (done["state"], done["kind"], counted(done)) == ("published", "replay", NOTHING_ELSE)
    assert counted(preview) == NOTHING_ELSE and preview["counts"]["published"] == done["counts"]["published"]
    assert await grades(store, sis.district) == before | {"pupil-2": "KG", "pupil-3": "KG"}
    assert await missed(store, sis.district) == {("unmapped", "grade", "Quinto"): 1}
    with pytest.raises(Refused) as nothing:
        await crosswalks.replay(store, sis.district, "sis", actor)
    assert nothing.value.code == "nothing-to-replay"


async def test_a_word_for_a_known_code_and_an_override_are_previewed_over_all_that_is_stored(
    store: Store, sis: Connection, actor: Actor
) -> None:
    [number] = await crosswalks.preview(store, sis.district, "oneroster", [Line("grade", "05", "06")], actor)
    run = await carried_out(store, sis.district, number)
    assert {one["collection"]: one["received"] for one in run["counts"]["collections"]} == {"orgs": 1, "users": 5}
    assert run["counts"]["published"] == {"person": {"changed": 1}}
    name = Override("users", "person", "preferred_given_name", "username")
    [number] = await crosswalks.preview_override(store, sis.district, "sis", name, actor)
    run = await carried_out(store, sis.district, number)
    assert run["counts"]["published"] == {"person": {"changed": 5}}
    assert (await grades(store, sis.district))["pupil-0"] == "05"
    with pytest.raises(Refused) as nothing:
        await crosswalks.preview(store, sis.district, "oneroster", [Line("grade", "Twelve", "12")], actor)
    assert nothing.value.code == "nothing-to-replay"


async def test_what_was_purged_waits_for_the_next_pull(store: Store, sis: Connection, actor: Actor) -> None:
    await sql(store, sis.district, "UPDATE record SET body = NULL WHERE key = 'pupil-2' RETURNING 1")
    await crosswalks.choose(store, sis.district, "oneroster", [KG], actor)
    done = await carried_out(store, sis.district, await crosswalks.replay(store, sis.district, "sis", actor))
    assert done["payload_gone"] == {"users": 1}
    found = await grades(store, sis.district)
    assert (found["pupil-2"], found["pupil-3"]) == (None, "KG")
    with pytest.raises(Refused) as purged:
        await crosswalks.replay(store, sis.district, "sis", actor)
    assert "purged" in purged.value.message and "planbridge pull sis" in purged.value.fix
    await pull(store, sis, actor)
    assert (await grades(store, sis.district))["pupil-2"] == "KG"


async def test_undoing_a_replay_brings_back_what_was_missed(store: Store, sis: Connection, actor: Actor) -> None:
    was, before = await missed(store, sis.district), await grades(store, sis.district)
    await crosswalks.choose(store, sis.district, "oneroster", [KG], actor)
    run = await crosswalks.replay(store, sis.district, "sis", actor)
    await carried_out(store, sis.district, run)
    undo = await jobs.request_undo(store, sis.district, run, actor, "It was the wrong word.")
    await carried_out(store, sis.district, undo)
    assert (await grades(store, sis.district), await missed(store, sis.district)) == (before, was)
    with pytest.raises(Refused) as paused:
        await crosswalks.replay(store, sis.district, "sis", actor)
    assert paused.value.code == "connection-paused"


async def test_nothing_that_is_not_replayed_is_touched(store: Store, sis: Connection, actor: Actor) -> None:
    others = "SELECT key, hash, run_id, since FROM record WHERE key NOT IN ('pupil-2', 'pupil-3') ORDER BY 1"
    before = await sql(store, sis.district, others)
    await crosswalks.choose(store, sis.district, "oneroster", [KG], actor)
    await carried_out(store, sis.district, await crosswalks.replay(store, sis.district, "sis", actor))
    assert await sql(store, sis.district, others) == before and len(before) == 4


async def test_a_replay_goes_on_where_a_dead_worker_left_it(store: Store, sis: Connection, actor: Actor) -> None:
    connection = await registers.connection(store, sis.district, "sis")
    run = await jobs.request_replay(store, connection, Wanted(Selection(everything=True)), actor)
    first = await runs.begin(store, sis.district, run)
    assert first is not None
    selection = replay.wanted(first).selection
    source = await replay.stored_source(store, first, connection, selection)
    async with store.transaction(sis.district) as c:
        codes = await opened(c, connection)
    [users] = [resource for resource in source.resources if resource.name == "users"]
    page = await source.pull(users, START)
    assert (len(page.rows), page.next) == (5, ("reject:0",))
    await staging.stage(store, first, users, codes, codes.edge(users), START, page)
    outcome = await sync.run(store, sis.district, run)
    assert outcome is not None and outcome.state == "published"
    assert {one["collection"]: one["received"] for one in outcome.counts["collections"]} == {"users": 5, "orgs": 1}
    with pytest.raises(runs.Fenced):
        await payloads.begin(store, first, selection, {})


async def test_what_is_stored_is_read_as_the_last_pull_read_it(store: Store, sis: Connection, actor: Actor) -> None:
    """One name may stand for two wire records: Ed-Fi's staffSectionAssociations differ by data standard."""
    assert (await registers.connection(store, sis.district, "sis")).wires["users"] == "User"
    await registers.add_connection(store, sis.district, "ods", "edfi", {}, {}, actor)
    for wire in ("StaffSectionAssociation4", "StaffSectionAssociation"):
        ods = await registers.connection(store, sis.district, "ods")
        await registers.set_wires(store, ods, {"staffSectionAssociations": wire})
        found = as_read(await registers.connection(store, sis.district, "ods"))
        assert found["staffSectionAssociations"].wire.__name__ == wire
        assert found["students"].wire.__name__ == "Student"


# --- rejects


@pytest.fixture
async def wizards(store: Store, sis: Connection, actor: Actor, tmp_path: Path) -> Connection:
    """Two seats in a role that no crosswalk knows, a student whose account is neither on nor off."""
    on = ["maybe", *["true"] * 4]
    write_package(tmp_path, enrolled=["wizard", "student", "wizard"], enabledUser=on)
    await pull(store, sis, actor)
    return sis


WIZARDS, MAYBE = ("enrollments", "unmapped-code", "role"), ("users", "bad-boolean", "enabledUser")


async def test_rejects_that_a_new_line_concerns_are_read_again_with_it(
    store: Store, wizards: Connection, actor: Actor
) -> None:
    assert await causes(store, wizards.district) == {WIZARDS: 2, MAYBE: 1}
    line = Line("enrollment_role", "wizard", "teacher")
    [concern] = await crosswalks.concerns(store, wizards.district, "oneroster", [line])
    assert (concern.records, concern.rejects, concern.everything) == (0, 2, False)
    [number] = await crosswalks.preview(store, wizards.district, "oneroster", [line], actor)
    preview = await carried_out(store, wizards.district, number)
    assert preview["counts"]["published"] == {"enrollment": {"added": 2}}
    assert await causes(store, wizards.district) == {WIZARDS: 2, MAYBE: 1}
    await crosswalks.choose(store, wizards.district, "oneroster", [line], actor)
    run = await crosswalks.replay(store, wizards.district, "sis", actor)
    assert (await carried_out(store, wizards.district, run))["counts"]["published"] == {"enrollment": {"added": 2}}
    assert await causes(store, wizards.district) == {MAYBE: 1}
    [[wizard]] = await sql(store, wizards.district, "SELECT min(id) FROM reject WHERE code = 'unmapped-code'")
    looked = await rejects.look(store, wizards.district, wizard)
    assert (looked["state"], looked["replayed_by"], looked["key"]) == ("replayed", run, "...t-0")
    undo = await jobs.request_undo(store, wizards.district, run, actor, "It was the wrong word.")
    await carried_out(store, wizards.district, undo)
    assert await causes(store, wizards.district) == {WIZARDS: 2, MAYBE: 1}


async def test_what_is_wrong_still_is_set_aside_again_once(store: Store, wizards: Connection, actor: Actor) -> None:
    [[id]] = await sql(store, wizards.district, "SELECT id FROM reject WHERE code = 'bad-boolean'")
    for _ in range(2):
        run = await again(store, wizards, actor, **({"id": id} if _ == 0 else {"cause": await _cause(store, wizards)}))
        assert (run["state"], run["rejects"]) == ("published", 1)
        assert await causes(store, wizards.district) == {WIZARDS: 2, MAYBE: 1}
    async with store.transaction(wizards.district) as c:
        [row] = [one for one in await stored.rows(c) if one["code"] == "bad-boolean"]
    assert (row["run_id"], row["position"]) == (run["id"], "row 2")  # where it stood in the file, still
    with pytest.raises(Refused) as over:
        await rejects.replay(store, wizards.district, actor, id=id)
    assert (over.value.code, "replayed" in over.value.message) == ("reject-not-open", True)


async def _cause(store: Store, sis: Connection) -> str:
    async with store.transaction(sis.district) as c:
        return next(str(one["cause"]) for one in await stored.causes(c) if one["code"] == "bad-boolean")


async def test_all_are_replayed_at_once_and_a_newer_pull_takes_the_place_of_what_is_left(
    store: Store, wizards: Connection, actor: Actor, tmp_path: Path
) -> None:
    assert (await again(store, wizards, actor))["rejects"] == 3
    (tmp_path / "manifest.csv").rename(tmp_path / "elsewhere")
    assert (await pull(store, wizards, actor))["state"] == "failed"
    assert await causes(store, wizards.district) == {WIZARDS: 2, MAYBE: 1}  # a pull that failed tells nothing new
    (tmp_path / "elsewhere").rename(tmp_path / "manifest.csv")
    write_package(tmp_path, enrolled=["student", "student", "wizard"])
    await pull(store, wizards, actor)
    assert await causes(store, wizards.district) == {WIZARDS: 1}


async def test_a_payload_is_looked_at_without_its_values(store: Store, wizards: Connection) -> None:
    [[id]] = await sql(store, wizards.district, "SELECT id FROM reject WHERE code = 'bad-boolean'")
    looked = await rejects.look(store, wizards.district, id)
    assert (looked["state"], looked["position"], looked["key"]) == ("open", "row 2", "...l-0")
    assert looked["payload"]["enabledUser"] == "xxxxx" and looked["payload"]["givenName"] == "text (7)"
    assert "Juniper" not in str(looked) and "pupil-0" not in str(looked)
    await sql(store, wizards.district, "UPDATE reject SET sealed_body = NULL RETURNING 1")
    assert (await rejects.look(store, wizards.district, id))["payload"] is None
    with pytest.raises(ConfigError) as unknown:
        await rejects.look(store, wizards.district, 1 << 60)
    assert unknown.value.code == "reject-unknown"


async def test_errors_of_one_cause_are_one_line(store: Store, sis: Connection, actor: Actor, tmp_path: Path) -> None:
    write_package(tmp_path)
    with (tmp_path / "users.csv").open("a") as file:
        file.writelines(f"{'x,' * n}x\r\n" for n in range(40) if n != 9)  # the header has ten fields
    await pull(store, sis, actor)
    async with store.transaction(sis.district) as c:
        [cause] = await stored.causes(c)
        rows = await stored.rows(c, cause=cause["cause"])
    assert (cause["code"], cause["records"], cause["replayable"]) == ("csv-wrong-field-count", len(rows), 0)
    assert len(rows) > 30 and len({row["reason"] for row in rows}) > 20
    with pytest.raises(Refused) as nothing:
        await rejects.replay(store, sis.district, actor, cause=cause["cause"])
    assert "purged" in nothing.value.message


async def test_causes_tell_whether_they_would_be_read_differently_now(
    store: Store, wizards: Connection, actor: Actor
) -> None:
    async def news() -> set[bool]:
        async with store.transaction(wizards.district) as c:
            found = await rejects.with_news(store, c, wizards.district, await stored.causes(c))
        return {one["read_differently"] for one in found}

    assert await news() == {False}
    await crosswalks.choose(store, wizards.district, "oneroster", [KG], actor)
    assert await news() == {True}


async def test_a_run_that_waits_for_a_person_is_not_overtaken(
    store: Store, sis: Connection, actor: Actor, tmp_path: Path
) -> None:
    write_package(tmp_path, ["05"] * 40)
    await pull(store, sis, actor)
    write_package(tmp_path, ["K9"])
    held = await pull(store, sis, actor)
    assert held["state"] == "held"
    waits = "SELECT state FROM run WHERE state = 'held'"
    connection = await registers.connection(store, sis.district, "sis")
    everything = Wanted(Selection(everything=True))
    with pytest.raises(Refused) as refused:
        await jobs.request_replay(store, connection, everything, actor)
    assert (refused.value.code, f"Run {held['id']}" in refused.value.message) == ("run-waits", True)
    dry = await jobs.request_replay(store, connection, everything, actor, mode="dry")
    assert (await carried_out(store, sis.district, dry))["state"] == "compared"
    assert await sql(store, sis.district, waits) == [("held",)]


async def test_nothing_set_aside_is_nothing_to_replay(store: Store, sis: Connection, actor: Actor) -> None:
    for what in ({}, {"cause": "0badcafe"}):
        with pytest.raises(ConfigError) as refused:
            await rejects.replay(store, sis.district, actor, **what)
        assert refused.value.code == "cause-unknown"


async def test_of_one_record_the_newer_payload_counts(
    store: Store, sis: Connection, actor: Actor, tmp_path: Path
) -> None:
    """What is published of it is older than what was set aside."""
    write_package(tmp_path, enrolled=["student"])
    await pull(store, sis, actor)
    write_package(tmp_path, enrolled=["wizard"])
    await pull(store, sis, actor)
    roles = "SELECT doc->>'role' FROM entity WHERE kind = 'enrollment'"
    assert await sql(store, sis.district, roles) == [("student",)]
    await crosswalks.choose(store, sis.district, "oneroster", [Line("enrollment_role", "wizard", "teacher")], actor)
    run = await crosswalks.replay(store, sis.district, "sis", actor, everything=True)
    await carried_out(store, sis.district, run)
    assert await sql(store, sis.district, roles) == [("teacher",)]
    assert await causes(store, sis.district) == {}
