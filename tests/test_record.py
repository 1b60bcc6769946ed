"""Running records: append-only, corrected by superseding, readable as of any moment, one session in many records."""

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import decisions, record
from gateway.errors import ConfigError, PlanbridgeError, Refused
from gateway.record import Session
from gateway.schema.record import Entry, standing
from gateway.store import purges
from gateway.store import record as stored
from gateway.store.database import DatabaseError, Store
from gateway.store.registers import Actor
from tests.e2e.office import fingerprint
from tests.records import CHILDREN, Small, ago, small


@pytest.fixture
async def here(store: Store, district: int, actor: Actor, tmp_path: Path) -> AsyncIterator[Small]:
    yield await small(store, district, actor, tmp_path)


async def wrote(here: Small, child: int = 0, said: str = "Read aloud to the class.", **more: Any) -> Entry:
    content = {"kind": "observation", "body": {"text": said}} | more
    return await record.add(here.store, here.district, here.children[child], content, here.actor)


def texts(entries: Any) -> list[str | None]:
    return [entry.said().text for entry in entries]


async def test_a_correction_supersedes_and_every_earlier_record_can_be_read(here: Small) -> None:
    first = await wrote(here, said="Reads 40 words.")
    await wrote(here, said="Was at the library.", domain="enrichment", occurred_on=ago(3))
    student, body = here.children[0], {"text": "Reads 46 words."}
    corrected = await record.correct(here.store, here.district, student, "1", body, here.actor, "Miscounted.")
    await record.correct(here.store, here.district, student, "2", None, here.actor, "Another child.")
    read = await record.read(here.store, here.district, student)
    assert texts(read.standing) == ["Reads 46 words."]
    assert [entry.seq for entry in read.entries] == [1, 2, 3, 4]
    assert corrected.supersedes == first.id and corrected.kind == "observation"
    assert texts((await record.read(here.store, here.district, student, 2)).standing) == [
        "Reads 40 words.",
        "Was at the library.",
    ]
    then = await record.read(here.store, here.district, student, corrected.recorded_at)
    assert texts(then.standing) == ["Was at the library.", "Reads 46 words."]
    with pytest.raises(Refused) as refusal:
        await record.correct(here.store, here.district, student, first.id, body, here.actor, "Once more.")
    assert refusal.value.code == "record-superseded"
    with pytest.raises(Refused, match="reason"):
        await record.correct(here.store, here.district, student, "3", body, here.actor, " ")


async def test_a_correction_looks_one_entry_up_however_long_the_record_is(
    here: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wrote(here, said="Reads 40 words.")

    async def all_of_it(*_: Any) -> list[Entry]:
        raise AssertionError("the whole record was read")

    with monkeypatch.context() as patched:
        patched.setattr(stored, "entries", all_of_it)
        await record.correct(here.store, here.district, here.children[0], "1", None, here.actor, "Another child.")
    entries = await record.became(here.store, here.district, here.children[0], "1")
    assert [entry.kind for entry in entries] == ["observation", "correction"]


async def test_what_is_no_entry_is_refused_and_nothing_of_it_repeated(here: Small) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "record-future": {"occurred_on": "2999-01-01"},
        "record-invalid": {"body": {}},
        "plan-unknown": {
            "kind": "progress_point",
            "body": {"point": {"plan": here.teacher, "goal": "goal-1", "measured_on": ago(0), "measure": "x",
                               "value": 1}},
        },
    }  # fmt: skip
    for code, content in wrong.items():
        with pytest.raises(PlanbridgeError) as error:
            await wrote(here, **content)
        assert error.value.code == code
    with pytest.raises(ConfigError) as no_student:
        await record.add(
            here.store, here.district, here.teacher, {"kind": "meeting", "body": {"text": "x"}}, here.actor
        )
    assert no_student.value.code == "student-unknown"
    with pytest.raises(ConfigError) as planted:
        await wrote(here, kind="Quillplanted", body={"text": "x", "Quillplanted": "Quillplanted"})
    assert "Quillplanted" not in planted.value.message.replace("/body/Quillplanted", "")
    theirs = await here.plan(1)
    point = {"plan": theirs, "goal": "goal-1", "measured_on": ago(0), "measure": "words", "value": 1}
    with pytest.raises(Refused) as other:
        await wrote(here, kind="progress_point", body={"point": point})
    assert other.value.code == "plan-other-student"


async def test_the_database_refuses_to_change_or_remove_an_entry(here: Small) -> None:
    await wrote(here)
    for statement in ("UPDATE record_entry SET domain = 'academic'", "DELETE FROM record_entry"):
        with pytest.raises(DatabaseError, match="permission denied"):
            async with here.store.transaction(here.district) as c:
                await c.execute(text(statement))
    for changed in ("domain = 'academic'", "body = '{}'", "body = NULL, salt = NULL, seq = 9"):
        with pytest.raises(DatabaseError, match="never changed"):
            async with here.store.owner.begin() as c:
                await c.execute(text(f"UPDATE record_entry SET {changed} WHERE district_id = {here.district}"))


async def test_whatever_goes_round_the_program_is_found_and_a_lawful_removal_is_no_fault(here: Small) -> None:
    for n in range(4):
        await wrote(here, said=f"Entry {n}")
    await wrote(here, 1)
    assert (await record.verify(here.store, here.district)).faults == []
    entry = await record.forget(here.store, here.district, here.children[0], "2", here.actor, "A court said so.")
    verified = await record.verify(here.store, here.district)
    assert (verified.records, verified.entries, verified.removed, verified.faults) == (2, 5, 1, [])
    async with here.store.transaction(here.district) as c:
        assert "Entry 1" not in str((await c.execute(text("SELECT CAST(e AS text) FROM record_entry e"))).all())
    assert entry.seq == 2
    tampering = {
        "UPDATE record_entry SET occurred_at = now() WHERE seq = 3": "was changed",
        'UPDATE record_entry SET body = \'{"text":"Entry 9"}\' WHERE seq = 3': "says something else",
        "DELETE FROM record_entry WHERE seq = 3": "is not there",
        "DELETE FROM record_entry WHERE seq = 4": "is not the last one",
        "DELETE FROM record_entry": "all after it are not there",
    }
    for statement, what in tampering.items():
        where = f"{' AND' if 'WHERE' in statement else ' WHERE'} student_id = '{here.children[0]}'"
        async with here.store.owner.connect() as c:
            await c.execute(text("ALTER TABLE record_entry DISABLE TRIGGER record_entry_stays"))
            await c.execute(text(statement + where))
            heads = await stored.heads(c, here.children[0])
            streams = [stream async for _, stream in stored.streams(c, list(heads))]
            await c.rollback()
        found = record.documents.faults(streams[0] if streams else [], heads[here.children[0]])
        assert any(what in said for _, said in found) or not streams, statement


async def test_a_session_of_six_with_one_absence_is_six_records_that_name_nobody_else(here: Small) -> None:
    plans = [await here.plan(n) for n in range(6)]
    given = dict.fromkeys(plans, "support-1")
    session = Session(record.clock.today(), 30, given, {plans[2]: "student_absent", plans[4]: 20}, here.teacher)
    entries = await record.log_session(here.store, here.district, session, here.actor)
    assert len(entries) == 6
    for n, child in enumerate(here.children):
        [entry] = (await record.read(here.store, here.district, child)).standing
        said = entry.said()
        assert said is not None and said.delivery is not None
        expected = {2: (0, "student_absent"), 4: (20, "partially")}.get(n, (30, "delivered"))
        assert (said.delivery.minutes, said.delivery.outcome) == expected
        assert said.delivery.group
        everything = json.dumps(vars(entry), default=str)
        others = {other for other in here.children + plans if other not in (child, plans[n])}
        others |= {name for m, one in enumerate(CHILDREN) for name in (one.given, one.number) if m != n}
        assert [other for other in others if other in everything] == []
    doing = await record.progress_of(here.store, here.district, plans[4])
    assert [(one.support, one.delivered, one.sessions) for one in doing.supports] == [("support-1", 20, 1)]
    absent = await record.progress_of(here.store, here.district, plans[2])
    assert [(one.delivered, one.sessions, one.absent) for one in absent.supports] == [(0, 0, 1)]


async def test_a_session_that_cannot_be_is_refused_as_a_whole(here: Small) -> None:
    plan, second, other = await here.plan(0), await here.plan(0), await here.plan(1)
    today = record.clock.today()
    wrong = {
        "session-empty": Session(today, 30, {}),
        "session-stranger": Session(today, 30, {plan: "support-1"}, {other: "student_absent"}),
        "support-unknown": Session(today, 30, {other: "support-1", plan: "support-9"}),
        "session-double": Session(today, 30, {plan: "support-1", second: "support-1"}),
        "record-future": Session(today.replace(year=2999), 30, {plan: "support-1"}),
    }
    for code, session in wrong.items():
        with pytest.raises(PlanbridgeError) as error:
            await record.log_session(here.store, here.district, session, here.actor)
        assert error.value.code == code
    assert (await record.read(here.store, here.district, here.children[1])).entries == []


async def test_a_purged_student_leaves_no_entry_and_a_mention_elsewhere_is_named(here: Small) -> None:
    name = f"{CHILDREN[0].given} {CHILDREN[0].family}"
    await wrote(here)
    mention = await wrote(here, 1, f"Plays with {name}.")
    found = await purges.preview(here.store, here.district, here.children[0])
    assert found.mentions == [f"record entry {mention.id}"]
    assert (found.counts["record_entry"], found.counts["record_stream"]) == (1, 1)
    await purges.purge_student(here.store, here.district, here.children[0], here.actor, "The family asked.")
    async with here.store.transaction(here.district) as c:
        assert await c.scalar(text("SELECT count(*) FROM record_entry")) == 1
    assert (await record.verify(here.store, here.district)).faults == []


async def test_two_records_that_are_one_childs_are_read_as_one_until_they_are_parted(here: Small) -> None:
    stays, gone = here.children[:2]
    await wrote(here, 0, "At the first school.")
    first = await wrote(here, 1, "At the second school.")
    done = await decisions.merge(here.store, here.district, gone, stays, here.actor, "Enrolled twice.")
    for known_as in (stays, gone):
        read = await record.read(here.store, here.district, known_as)
        assert texts(read.standing) == ["At the first school.", "At the second school."]
    assert [entry.id for entry in await record.became(here.store, here.district, stays, "1")] == [first.id]
    body = {"text": "At the second school, in May."}
    await record.correct(here.store, here.district, stays, first.id, body, here.actor, "When?")
    await wrote(here, 1, "After it was found out.")
    assert len((await record.read(here.store, here.district, stays)).standing) == 3
    assert (await record.verify(here.store, here.district, gone)).entries == 4
    await decisions.undo(here.store, here.district, done.decision, here.actor, "Two cousins.")
    parted = [texts((await record.read(here.store, here.district, one)).standing) for one in (stays, gone)]
    assert parted == [["At the first school.", "After it was found out."], ["At the second school, in May."]]
    assert (await record.verify(here.store, here.district)).faults == []


async def test_random_work_can_be_replayed_to_any_earlier_moment(here: Small) -> None:
    await replayed(here, random.Random(17), 60)


async def replayed(here: Small, rng: random.Random, operations: int) -> dict[str, int]:
    """Write, correct and withdraw at random in every record; then each state is read again, as of then."""
    model: dict[str, dict[str, str]] = {child: {} for child in here.children}
    states: list[tuple[str, str, str]] = []
    counts = dict.fromkeys(("written", "corrected", "withdrawn", "moments replayed", "moments read as of"), 0)
    for n in range(operations):
        child = rng.choice(here.children)
        known, what = model[child], rng.random()
        if known and what < 0.4:
            which = rng.choice(sorted(known))
            body = {"text": f"corrected {n}"} if what < 0.25 else None
            made = await record.correct(here.store, here.district, child, which, body, here.actor, "So it was.")
            del known[which]
            if body:
                known[made.id] = body["text"]
            counts["corrected" if body else "withdrawn"] += 1
        else:
            content = {"kind": "observation", "body": {"text": f"written {n}"}}
            made = await record.add(here.store, here.district, child, content, here.actor)
            known[made.id] = f"written {n}"
            counts["written"] += 1
        states.append((child, made.id, fingerprint(known)))
    whole = {child: (await record.read(here.store, here.district, child)).entries for child in here.children}
    said = {entry.id: body.text for stream in whole.values() for entry in stream if (body := entry.said())}
    places = {entry.id: place for stream in whole.values() for place, entry in enumerate(stream)}
    # Each state out of the stream up to its entry; a sample of them by the database itself.
    sampled = set(rng.sample(range(len(states)), min(len(states), 300)))
    for n, (child, last, expected) in enumerate(states):
        entries = whole[child]
        replay = standing(entries[: places[last] + 1])
        assert fingerprint({entry.id: said[entry.id] for entry in replay}) == expected
        counts["moments replayed"] += 1
        if n in sampled:
            read = await record.read(here.store, here.district, child, entries[places[last]].recorded_at)
            assert fingerprint({entry.id: said[entry.id] for entry in read.standing}) == expected
            counts["moments read as of"] += 1
    assert (await record.verify(here.store, here.district)).faults == []
    return counts
