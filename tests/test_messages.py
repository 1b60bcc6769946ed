"""What people are told: five parts, plain, the same whenever it is asked, and nothing in it that a source sent."""

import ast
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway import http, messages
from gateway.causes import CAUSES
from gateway.messages import Line, Message, Standing

MONDAY = datetime(2026, 11, 23, 10, 2, tzinfo=UTC)
TUESDAY = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
CHICAGO = ZoneInfo("America/Chicago")
GOOD = Standing(good_run=11, good_at=MONDAY, zone=CHICAGO)


def run_of(state: str, **more: Any) -> dict[str, Any]:
    """A run as runs.summary gives it."""
    return {
        "id": 12, "connection": "sis", "state": state, "created_at": TUESDAY, "finished_at": TUESDAY,
        "publication": None, "error_code": None, "exit_code": None, "error": None, "counts": {}, "unmapped": [],
        "rejects": 0, "received": 24_000, "holds": [],
    } | more  # fmt: skip


def hold(code: str, collection: str, reason: str, affected: int, known: int) -> dict[str, Any]:
    return {
        "code": code, "collection": collection, "reason": reason, "affected": affected, "known": known,
        "effect": "all", "state": "open",
    }  # fmt: skip


REMOVED = hold("many-removed", "users", "480 of 4000 users would be removed (12 %; the limit is 10 %).", 480, 4000)
EMPTY = hold("empty-collection", "classes", "The source sent no classes at all; 900 are published.", 900, 900)


def said(message: Message | None) -> Message:
    assert message is not None
    return message


def test_a_held_run_in_five_parts() -> None:
    message = said(messages.of_run(run_of("held", holds=[REMOVED, EMPTY]), GOOD))
    assert message.subject == "The sync of sis (run 12) is held"
    assert message.text == (
        "What happened: The sync of sis (run 12) is held. It waits for a person. 480 of 4000 users would be "
        "removed (12 %; the limit is 10 %). The source sent no classes at all; 900 are published.\n\n"
        "How many are affected: 480 of 4,000 users; 900 of 900 classes.\n\n"
        "What is live now: Everything as it was after the last good sync, run 11 on Mon 23 Nov 2026, 04:02 CST. "
        "Nothing was removed or changed.\n\n"
        "What to do: See what waits: planbridge holds show 12 --changes. If that is right, publish it: planbridge "
        'holds approve 12 --because "...". If not, drop it: planbridge holds refuse 12 --because "...", and ask '
        "whoever runs sis to correct it.\n\n"
        "By when: Before Tue 24 Nov 2026, 06:02 CST: then the last good sync is 26 hours ago."
    )


def test_by_when_is_the_next_run_where_that_comes_first() -> None:
    soon = Standing(11, MONDAY, next_run=TUESDAY + timedelta(hours=1), zone=CHICAGO)
    later = Standing(11, MONDAY, next_run=TUESDAY + timedelta(hours=24), zone=CHICAGO)
    run = run_of("held", holds=[REMOVED])
    assert said(messages.of_run(run, soon)).by_when == (
        "Before Tue 24 Nov 2026, 05:00 CST: then the next run begins and takes the place of this one."
    )
    assert said(messages.of_run(run, later)).by_when.startswith("Before Tue 24 Nov 2026, 06:02 CST: then the last")
    first = said(messages.of_run(run, Standing()))
    assert first.by_when == "Before Wed 25 Nov 2026, 12:00 UTC: then the first attempt is 26 hours ago."
    assert first.live_now == "Nothing from this connection: it has not had a good sync yet."


def test_what_was_published_beside_removals_that_wait_is_told() -> None:
    removals = REMOVED | {"effect": "removals"}
    message = said(messages.of_run(run_of("held", publication=3, holds=[removals]), GOOD))
    assert message.subject == "The sync of sis (run 12) went well, but its removals wait for a person"
    assert message.live_now == "What run 12 adds and changes is published. What it would remove is still there."
    decided = removals | {"state": "approved"}
    assert messages.of_run(run_of("published", holds=[decided]), GOOD) is None


def test_only_open_holds_are_told_and_not_endlessly() -> None:
    decided = REMOVED | {"state": "approved"}
    assert "users" not in said(messages.of_run(run_of("held", holds=[decided, EMPTY]), GOOD)).text
    many = [hold("empty-collection", f"c{n}", f"Reason {n}.", 1, 1) for n in range(8)]
    message = said(messages.of_run(run_of("held", holds=many), GOOD))
    assert "Reason 4. And 3 more." in message.what_happened
    assert message.affected == "1 of 1 c0; 1 of 1 c1; 1 of 1 c2; 1 of 1 c3; 1 of 1 c4; and 3 more."


@pytest.mark.parametrize(
    ("code", "exit_code", "to_do"),
    [
        ("token-refused", 3, "planbridge check sis sees that and ends the rest. Afterwards: planbridge pull sis."),
        ("unreachable", 4, "Try again: planbridge pull sis. If it stays so: Ask whether sis is up"),
        (
            "csv-missing-column",
            2,
            "Correct that, or have whoever runs sis correct it. Afterwards: planbridge pull sis.",
        ),
        ("internal-error", 1, "Report it"),
    ],
)
def test_a_failed_run_says_what_to_do_by_what_happens_next(code: str, exit_code: int, to_do: str) -> None:
    error = f"users.csv has no column familyName. Export it again. [{code}]"
    message = said(messages.of_run(run_of("failed", error_code=code, exit_code=exit_code, error=error), GOOD))
    assert message.subject == "The sync of sis (run 12) stopped"
    assert to_do in message.to_do
    assert f"(code {code})" in message.to_do
    assert message.by_when == "Before Tue 24 Nov 2026, 06:02 CST: then the last good sync is 26 hours ago."
    if code == "csv-missing-column":
        assert message.what_happened.endswith("stopped. users.csv has no column familyName. Export it again.")
    else:
        assert "users.csv" not in message.text


def test_a_planned_run_tries_again_by_itself() -> None:
    error = {"error_code": "server-busy", "exit_code": 4, "error": "GET sis.example.org answered 503. [server-busy]"}
    planned = Standing(11, MONDAY, next_run=TUESDAY, zone=CHICAGO)
    message = said(messages.of_run(run_of("failed", **error), planned))
    assert message.to_do.startswith("Nothing yet: the next planned run tries again. If it stays so: Ask")


def test_marks_for_log_readers_are_left_out() -> None:
    error = "GET x/y: The key may not do this [403, correlation-id 6f1c0e9a-aa]. Ask for it. [edfi-not-granted]"
    failed = run_of("failed", error_code="edfi-not-granted", exit_code=3, error=error)
    assert said(messages.of_run(failed, GOOD)).what_happened == (
        "The sync of sis (run 12) stopped. GET x/y: The key may not do this [403]. Ask for it."
    )


def test_every_way_a_system_may_fail_has_its_sentence() -> None:
    """Codes of gateway.http, which any connector may raise; those of writing do not end a run."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in Path(http.__file__).parent.glob("*.py")]
    literals = {
        node.value
        for tree in trees
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") in ("ConfigError", "AuthError", "Unavailable", "Failure")
        for node in ast.walk(call.args[0])
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert len(literals) > 15
    of_no_run = {"outcome-unknown", "url-invalid", "url-not-https", "url-has-credentials"}
    of_authorizing = {"grant-refused", "grant-state"}
    assert literals - set(CAUSES) - of_no_run - of_authorizing == set()


def test_records_set_aside_are_told_and_a_clean_run_is_not() -> None:
    one = said(messages.of_run(run_of("published", rejects=1), GOOD))
    assert one.subject == "The sync of sis (run 12) went well except for 1 record"
    assert one.affected == "1 of 24,000 records."
    many = said(messages.of_run(run_of("published", rejects=5000), GOOD))
    assert "5,000 records. They could not be read" in many.what_happened
    for state in ("published", "compared", "queued", "superseded", "refused"):
        assert messages.of_run(run_of(state), GOOD) is None


def test_recovery_silence_and_end_dates() -> None:
    published = {"person": {"added": 40, "changed": 2}, "class": {"removed": 1, "added": 3}}
    good = messages.of_recovery(run_of("published", counts={"published": published}), GOOD)
    assert good.subject == "The sync of sis works again"
    assert good.affected == "43 entries were added, 2 changed and 1 removed."
    silent = messages.of_silence("sis", GOOD, TUESDAY, messages.SILENT_BECAUSE["no-worker"])
    assert silent.subject == "There was no good sync of sis for more than 26 hours"
    assert silent.by_when == "At once: the limit was passed on Tue 24 Nov 2026, 06:02 CST."
    ends = date(2026, 12, 24)
    for today, when in ((24, "in 30 days"), (23, "in 31 days")):
        assert messages.of_end_date("sis", ends, date(2026, 11, today), GOOD).subject == (
            f"The credentials of sis end on Thu 24 Dec 2026, {when}"
        )
    assert "today" in messages.of_end_date("sis", ends, ends, GOOD).subject
    assert "1 day ago" in messages.of_end_date("sis", ends, ends + timedelta(days=1), GOOD).subject


def test_a_parked_delivery_counts_what_has_arrived_and_names_no_plan() -> None:
    receipts = [
        {"resource": "interventions", "status": 201, "delivered": True, "message": "", "attempts": 1},
        {
            "resource": "studentInterventionAssociations",
            "status": 403,
            "delivered": False,
            "message": "x",
            "attempts": 1,
        },
    ]
    delivery = {
        "id": 3, "plan": "6f1c0e9a-0000-4000-8000-000000000000", "version": 1, "destination": "state",
        "state": "parked", "reason": "x", "losses": [], "finished_at": TUESDAY, "receipts": receipts,
    }  # fmt: skip
    message = messages.of_delivery(delivery, GOOD)
    assert message.what_happened == (
        "A plan could not be delivered to state. Delivery 3 is parked. "
        "It refused studentInterventionAssociations (403)."
    )
    assert message.affected == "1 plan: 1 of 2 documents that were tried have arrived."
    assert "6f1c" not in message.text
    assert messages.of_delivery(delivery | {"receipts": []}, GOOD).affected == "1 plan; nothing of it was sent."
    forbidden = messages.of_delivery(
        delivery | {"receipts": [], "reason": "A family forbade it. [consent-missing]"}, GOOD
    )
    assert "whoever runs" not in forbidden.text and "deliveries resend 3" in forbidden.to_do


def test_trouble_with_the_database_says_what_becomes_of_the_work() -> None:
    full, lost = messages.of_full_disk(TUESDAY, GOOD), messages.of_lost_database(TUESDAY, GOOD)
    assert full.subject == "The disk of the database is full"
    assert lost.subject == "The database of Planbridge does not answer, since Tue 24 Nov 2026, 04:00 CST"
    for message in (full, lost):
        assert "Wed 25 Nov 2026, 06:00 CST" in message.by_when
        assert all(message.parts().values())


def test_the_digest_has_a_line_for_each_connection_and_says_what_changed() -> None:
    lines = [
        Line(name="sis", state=["held", "late"], standing=GOOD, began=MONDAY, held_run=12, rejects=5, rejects_before=2),
        Line(name="lms", state=[], standing=GOOD, began=MONDAY, unmapped=1, unmapped_before=4),
        Line(name="new", state=["failing"], standing=Standing(), began=TUESDAY),
    ]
    message = messages.digest(date(2026, 11, 24), lines, CHICAGO)
    assert message.subject == "The morning of Tue 24 Nov 2026: 1 of 3 good"
    assert message.what_happened.splitlines()[1:] == ["- sis: held, late.", "- lms: good.", "- new: failing."]
    assert message.affected.splitlines()[1:] == [
        "- sis: 5 records set aside (3 more than a day before), 0 values without a mapping (as before).",
        "- lms: 0 records set aside (as before), 1 value without a mapping (3 fewer than a day before).",
        "- new: 0 records set aside (as before), 0 values without a mapping (as before).",
    ]
    assert "- sis: as of Mon 23 Nov 2026, 04:02 CST." in message.live_now and "- new: nothing yet." in message.live_now
    assert message.to_do.splitlines()[1:] == [
        "- decide about run 12 of sis: planbridge holds show.",
        "- see why new fails: planbridge runs.",
    ]
    assert message.by_when == "Before Tue 24 Nov 2026, 06:02 CST."
    quiet = messages.digest(date(2026, 11, 24), [], CHICAGO)
    assert (quiet.to_do, quiet.by_when) == ("Nothing waits for a person.", "Nothing is due.")
