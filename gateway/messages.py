"""What people are told: five plain parts about a run, a silence, an end date, a parked delivery, a lost database.

A message leaves the house by e-mail. So it is made of sentences of ours, counts, run numbers, times, and names of
connections, collections and schools: no other value of a record, no secret, no name of a person stands in any.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from gateway import year
from gateway.causes import CAUSES

TITLES = {
    "what_happened": "What happened",
    "affected": "How many are affected",
    "live_now": "What is live now",
    "to_do": "What to do",
    "by_when": "By when",
}
LIMIT = timedelta(hours=26)
"""How long a connection may be without a good sync, where nobody chose another time: a night, and two hours more."""


@dataclass(frozen=True)
class Message:
    """Five parts, each in plain sentences. The first sentence of `what_happened` tells what it is about."""

    what_happened: str
    affected: str
    live_now: str
    to_do: str
    by_when: str

    @property
    def subject(self) -> str:
        return re.split(r"(?<=\.)\s", self.what_happened, maxsplit=1)[0].rstrip(".")

    @property
    def text(self) -> str:
        """One paragraph a part, with its title."""
        return "\n\n".join(
            f"{title}: {part}" for title, part in zip(TITLES.values(), self.parts().values(), strict=True)
        )

    def parts(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Standing:
    """What is known of a connection when something happened to it. Times are aware; they are told in `zone`.

    `good_run` and `good_at`: the newest good sync before it. `next_run`: the next one that is planned. `failures`:
    how many there were since the last good sync and before this, the first of them at `failing_since`.
    """

    good_run: int | None = None
    good_at: datetime | None = None
    next_run: datetime | None = None
    limit: timedelta = LIMIT
    zone: tzinfo = UTC
    failures: int = 0
    failing_since: datetime | None = None


def of_run(run: Mapping[str, Any], standing: Standing) -> Message | None:
    """What there is to say of a run, as runs.summary gives it: held, failed, published while its removals wait,
    published with records set aside, or with the end of many staff assignments.

    None where there is nothing to say. It depends on the run's stored outcome and on `standing` only, so that it
    reads the same whenever it is made.
    """
    if run["state"] == "failed":
        return _failed(run, standing)
    if any(hold["state"] == "open" for hold in run["holds"]):
        return _held(run, standing)
    if run["state"] == "published" and run["rejects"]:
        return _set_aside(run)
    return of_assignments(run) if run["state"] == "published" else None


def _held(run: Mapping[str, Any], standing: Standing) -> Message:
    name, number = run["connection"], run["id"]
    holds = [hold for hold in run["holds"] if hold["state"] == "open"]
    reasons = list(dict.fromkeys(hold["reason"] for hold in holds))
    if all(hold["effect"] == "removals" for hold in holds):
        happened = f"The sync of {name} (run {number}) went well, but its removals wait for a person."
        live = f"What run {number} adds and changes is published. What it would remove is still there."
        due = _review_by(run, standing)
    else:
        happened = f"The sync of {name} (run {number}) is held. It waits for a person."
        live, due = _live(standing), _decide_by(run, standing)
    if succeeds := run["counts"].get("takes_over"):
        happened += f" With it, {name} would take the place of {succeeds}."
    see, publish = f"planbridge holds show {number} --changes", f"planbridge holds approve {number}"
    if change := run["counts"].get("year"):
        first, last = (date.fromisoformat(change[name]) for name in ("first_day", "last_day"))
        happened += f" A year change is announced, from {_day(last)} to {_day(first)}."
        see, publish = "planbridge year preview tells it school by school", "planbridge year confirm"
    return Message(
        f"{happened} {_first_few(reasons)}",
        f"{_first_few([_share(hold) for hold in holds], '; ')}.{year.listed(run['counts'].get('assignments', ()))}",
        live,
        f'See what waits: {see}. If that is right, publish it: {publish} --because "...". If not, drop it: '
        f'planbridge holds refuse {number} --because "...", and ask whoever runs {name} to correct it.',
        due,
    )


def of_assignments(run: Mapping[str, Any]) -> Message | None:
    """A run that ended many staff assignments on one day: one list for all of them; None of any other run."""
    if not (ended := run["counts"].get("assignments")):
        return None
    name, number = run["connection"], run["id"]
    total = _count(sum(one["assignments"] for one in ended), "staff assignment")
    return Message(
        f"{total} of {name} end together (run {number}).{year.listed(ended)}",
        f"{total} at {_count(len({one['school'] for one in ended}), 'place')}.",
        f"What run {number} says is published: each of them with its last day.",
        f"Nothing, if the year ends. Whom it concerns: planbridge history run {number}. If it is wrong: "
        f'planbridge undo {number} --because "...", and ask whoever runs {name} to correct it.',
        "Before the day on which they end.",
    )


def _first_few(parts: Sequence[str], between: str = " ") -> str:
    told, more = between.join(parts[:5]), len(parts) - 5
    if more <= 0:
        return told
    return f"{told} And {more} more." if told.endswith(".") else f"{told}{between}and {more} more"


def _share(hold: Mapping[str, Any]) -> str:
    of = f" of {hold['known']:,}" if hold["known"] and hold["known"] >= hold["affected"] else ""
    return f"{hold['affected']:,}{of} {_PLAIN.get(hold['code']) or _PLAIN.get(hold['collection'], hold['collection'])}"


# Collections are called as their own system calls them; these are kinds of ours, and what a hold is about instead.
_PLAIN = {
    "assessment": "assessments", "assessment_result": "assessment results", "attendance_event": "attendance events",
    "category": "categories", "class": "classes", "class-emptied": "places in classes", "course": "courses",
    "course_grade": "course grades", "discipline_incident": "discipline incidents", "enrollment": "enrollments",
    "line_item": "line items", "meal_eligibility": "meal records", "organization": "organizations", "person": "people",
    "program_status": "program records", "relationship": "family relationships", "resource": "resources",
    "result": "results", "score_scale": "score scales", "session": "sessions",
}  # fmt: skip


def _live(standing: Standing) -> str:
    if standing.good_at is None:
        return "Nothing from this connection: it has not had a good sync yet."
    return (
        f"Everything as it was after the last good sync, run {standing.good_run} on "
        f"{_at(standing.good_at, standing)}. Nothing was removed or changed."
    )


def _review_by(run: Mapping[str, Any], standing: Standing) -> str:
    """Removals that wait keep nothing from coming in; the next run looks at them anew."""
    until = standing.next_run or run["created_at"] + standing.limit
    return f"Before {_at(until, standing)}. What has left stays in place until then, and longer if nobody decides."


def _decide_by(run: Mapping[str, Any], standing: Standing) -> str:
    """When the next run is planned, or when what is live gets too old: whichever comes first."""
    if standing.next_run is not None and standing.next_run <= _deadline(run["created_at"], standing):
        return f"Before {_at(standing.next_run, standing)}: then the next run begins and takes the place of this one."
    return _mend_by(run["created_at"], standing)


def _mend_by(began: datetime, standing: Standing) -> str:
    since = "the last good sync" if standing.good_at else "the first attempt"
    return f"Before {_at(_deadline(began, standing), standing)}: then {since} is {_hours(standing.limit)} ago."


def _deadline(began: datetime, standing: Standing) -> datetime:
    return (standing.good_at or began) + standing.limit


def _at(moment: datetime, standing: Standing) -> str:
    local = moment.astimezone(standing.zone)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M %Z}"


def _hours(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours:g} hours"


PASSING, REFUSED = 4, 3
"""Exit codes of a run: time may heal it; the other system refuses our credentials."""


def _failed(run: Mapping[str, Any], standing: Standing) -> Message:
    name, number, code = run["connection"], run["id"], run["error_code"]
    own_words = _own_words(run["error"]), "Correct that, or have whoever runs {connection} correct it."
    why, ask = CAUSES.get(code, own_words)
    ask, again = ask.format(connection=name), f"planbridge pull {name}"
    if run["exit_code"] == PASSING:
        first = "Nothing yet: the next planned run tries again." if standing.next_run else f"Try again: {again}."
        to_do = f"{first} If it stays so: {ask}"
    elif run["exit_code"] == REFUSED:
        to_do = (
            f"{ask} {name} rests until it is mended. New credentials are entered with planbridge connections change "
            f"{name}; if the old ones are right, planbridge check {name} sees that and ends the rest. "
            f"Afterwards: {again}."
        )
    else:
        to_do = f"{ask} Afterwards: {again}."
    if standing.failures and standing.failing_since is not None:
        why += f" It has failed {standing.failures + 1:,} times since {_at(standing.failing_since, standing)}."
    return Message(
        f"The sync of {name} (run {number}) stopped. {why}",
        f"No published record. {_arrived(run['received'])}",
        _live(standing),
        f"{to_do} The exact words: planbridge runs {number} (code {code}).",
        _mend_by(run["created_at"], standing),
    )


def _arrived(records: int) -> str:
    if not records:
        return "It stopped before any record had arrived."
    return f"{_count(records, 'record')} had arrived before it stopped; none of them was used."


def _own_words(error: str) -> str:
    """A connector's sentences for people, without its code and the marks by which a log line is found."""
    return re.sub(r"[;,]? ?\[[a-z0-9-]+\]$|[,;]? ?\(?correlation-id [0-9A-Fa-f-]+\)?", "", error)


def _set_aside(run: Mapping[str, Any]) -> Message:
    number, rejects = run["id"], run["rejects"]
    records = _count(rejects, "record")
    one = rejects == 1
    return Message(
        f"The sync of {run['connection']} (run {number}) went well except for {records}. "
        f"{'It' if one else 'They'} could not be read and {'was' if one else 'were'} set aside.",
        f"{rejects:,} of {run['received']:,} records.",
        f"Everything else of run {number}. Of {'this record' if one else 'these records'} what was published "
        "before, if anything.",
        f"See which and why: planbridge rejects --run {number}. Have it corrected in {run['connection']}; "
        "the next run takes it in.",
        "No hurry: nothing else waits for it.",
    )


def _count(n: int, thing: str) -> str:
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def of_recovery(run: Mapping[str, Any], standing: Standing) -> Message:
    """A good run after trouble. `standing` is as it was before this run."""
    name, number = run["connection"], run["id"]
    moved = run["counts"].get("published", {}).values()
    added, changed, removed = (sum(counts.get(op, 0) for counts in moved) for op in ("added", "changed", "removed"))
    missed = "." if standing.good_at is None else f", the first since {_at(standing.good_at, standing)}."
    return Message(
        f"The sync of {name} works again. Run {number} was good{missed}",
        f"{added:,} entries were added, {changed:,} changed and {removed:,} removed.",
        f"Everything that {name} has, as of {_at(run['finished_at'], standing)}.",
        "Nothing.",
        "Nothing is due.",
    )


def of_silence(name: str, standing: Standing, began: datetime, why: str) -> Message:
    """No good sync for longer than the limit. `began`: when it was connected; `why`: a sentence for what is known
    of the reason, such as one of SILENT_BECAUSE."""
    since = f"since {_at(standing.good_at, standing)}" if standing.good_at else "since it was connected"
    return Message(
        f"There was no good sync of {name} for more than {_hours(standing.limit)}. {why}",
        f"Whatever changed in {name} {since}.",
        _live(standing),
        f"See how it stands: planbridge status, and planbridge runs. When it is mended: planbridge pull {name}.",
        f"At once: the limit was passed on {_at(_deadline(began, standing), standing)}.",
    )


SILENT_BECAUSE = {
    "held": "Its last run is held and waits for a person.",
    "failed": "Its last run stopped with an error.",
    "paused": "It is paused.",
    "no-worker": "No worker of Planbridge is alive, so nothing is pulled at all.",
    "idle": "It was not pulled in all that time.",
    "running": "A run is under way and has not ended.",
}


def of_end_date(name: str, ends: date, today: date, standing: Standing) -> Message:
    """The credentials of a connection end soon, or have ended."""
    left = (ends - today).days
    when = f"in {_count(left, 'day')}" if left > 0 else ("today" if left == 0 else f"{_count(-left, 'day')} ago")
    return Message(
        f"The credentials of {name} end on {_day(ends)}, {when}. After that every sync of it fails.",
        f"One connection, {name}, with all that comes from it.",
        _live(standing),
        f"Ask whoever runs {name} for new credentials, and enter them with the day on which these end: "
        f"planbridge connections change {name} --set ... --secret-expires DATE.",
        f"Before {_day(ends)}.",
    )


def _day(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b %Y}"


def of_delivery(delivery: Mapping[str, Any], standing: Standing) -> Message:
    """A delivery, as deliveries.status gives it, that is parked."""
    if "[consent-missing]" in (delivery["reason"] or ""):
        return _without_consent(delivery["id"], delivery["destination"])
    receipts, number, to = delivery["receipts"], delivery["id"], delivery["destination"]
    arrived = sum(1 for receipt in receipts if receipt["delivered"])
    refused = "".join(f" It refused {r['resource']} ({r['status']})." for r in receipts if not r["delivered"])
    again = f" {tried_again(to, delivery['waits'])}" if delivery.get("waits") else ""
    return Message(
        f"A plan could not be delivered to {to}. Delivery {number} is parked.{refused}",
        f"1 plan: {arrived} of {len(receipts)} documents that were tried have arrived."
        if receipts
        else "1 plan; nothing of it was sent.",
        f"In {to}: {'what has arrived, and beside it ' if arrived else ''}what was there before. Here the finalized "
        "plan is unchanged.",
        f"Ask whoever runs {to} what is missing there. Then send the plan again: planbridge push PLAN --to {to}. "
        f"What has arrived is not sent twice.{again}",
        f"Before {_at(delivery['finished_at'] + standing.limit, standing)}: by then the plan is a day late.",
    )


def _without_consent(number: int, to: str) -> Message:
    """Nobody at the destination can mend that, and perhaps nobody has to."""
    return Message(
        f"A plan was not sent to {to}: no consent that holds today lets it go there. Delivery {number} is parked.",
        "1 plan; nothing of it was sent.",
        f"In {to}: nothing new. What it had under a consent that has ended is taken back by itself. Here the plan is "
        "unchanged.",
        f"Nothing, if the family wants it so. Which plan it is, and why: planbridge deliveries show {number}. Where a "
        "consent was given, record it: planbridge consents add. Then send the plan again: planbridge deliveries "
        f"resend {number}.",
        "Nothing is due.",
    )


def tried_again(destination: str, waits: str) -> str:
    """When a parked delivery is sent again by itself: nothing else looks at what it waits for."""
    when = "that finds the student enrolled there" if waits == "enrollment" else "that is published"
    return (
        f"By itself it is tried again after each pull of {destination} {when}. "
        f"Without a schedule nobody pulls it: planbridge pull {destination}."
    )


# What became of objects at a destination, of one and of several.
_BECAME = {
    "dropped": ("has lost what we put into it", "have lost what we put into them"),
    "gone": ("is not there any more", "are not there any more"),
    "changed": ("says something else", "say something else"),
}


def of_overwritten(name: str, lost: Sequence[Mapping[str, Any]], looked_at: datetime, standing: Standing) -> Message:
    """Objects, as verifications.lost gives them, that are not at a destination as they were delivered."""
    groups = Counter((one["resource"], one["lost"]) for one in lost)
    told = [f"Of {resource}, {n:,} {_BECAME[became][n > 1]}." for (resource, became), n in sorted(groups.items())]
    marks, others = "dropped" in {one["lost"] for one in lost}, {"gone", "changed"} & {one["lost"] for one in lost}
    to_do = f"Which plans these are: planbridge verify {name} --list."
    if marks:
        to_do += (
            " Most likely the SIS writes its records anew each night without what we put in. Ask whoever runs it to "
            "leave that in place, or to send the marks itself. Until then they are sent again once a day; who does not "
            f"want that switches marks off: planbridge push PLAN --to {name} --set mark_enrollment=false."
        )
    if others:
        to_do += (
            f" Ask whoever runs {name} who removes or changes what Planbridge wrote. It is not sent again by itself. "
            f'To write a plan over what is there now: planbridge push PLAN --to {name} --overwrite --because "...".'
        )
    return Message(
        f"What was delivered to {name} did not stay there. Somebody else has written over it. {_first_few(told)}",
        f"{_count(len({one['plan'] for one in lost}), 'plan')}, {_count(len(lost), 'object')}.",
        f"In {name}: what was written there after us. Here every finalized plan is unchanged.",
        to_do,
        f"Before {_at(looked_at + timedelta(days=1), standing)}: then it is looked at again.",
    )


def of_full_disk(since: datetime, standing: Standing) -> Message:
    """The database can write nothing more."""
    return Message(
        "The disk of the database is full. Nothing new can be stored, so nothing is pulled, finalized or sent.",
        "All connections, and everybody who works on a plan.",
        "Everything that was stored before, whole: what could not be stored was not stored in part.",
        "Make room on the disk of the database. Nothing has to be started again: work goes on where it stopped.",
        f"Before {_at(since + standing.limit, standing)}: then what is live is {_hours(standing.limit)} old.",
    )


def of_lost_database(since: datetime, standing: Standing) -> Message:
    """The database does not answer."""
    return Message(
        f"The database of Planbridge does not answer, since {_at(since, standing)}.",
        "All connections, and everybody who works on a plan.",
        "Nothing can be read or stored until it is back. What was stored is still there.",
        "Start the database, or planbridge up where Planbridge brings its own. Work goes on where it stopped.",
        f"At once; by {_at(since + standing.limit, standing)} at the latest, when what is live is "
        f"{_hours(standing.limit)} old.",
    )


def of_returned_database(since: datetime, standing: Standing) -> Message:
    """The database works again, after people were told that it does not."""
    return Message(
        f"The database of Planbridge works again. The trouble began on {_at(since, standing)}.",
        "All connections, and everybody who works on a plan.",
        "Everything that was stored before. Runs that were under way go on where they stopped.",
        "Nothing.",
        "Nothing is due.",
    )


@dataclass(frozen=True, kw_only=True)
class Line:
    """One connection in the digest. `state`: words such as held or late, none where all is well; the counts are of
    its newest pull, and of that of a day before."""

    name: str
    state: Sequence[str]
    standing: Standing
    began: datetime
    held_run: int | None = None
    rejects: int = 0
    rejects_before: int = 0
    unmapped: int = 0
    unmapped_before: int = 0


# What each state asks of a person.
ASKS = {
    "paused": "mend {name}, then planbridge check {name}",
    "held": "decide about run {run} of {name}: planbridge holds show",
    "removals wait": "decide about what {name} would remove: planbridge holds show",
    "failing": "see why {name} fails: planbridge runs",
    "late": "see why {name} is late: planbridge runs",
    "overwritten": "see what {name} did not keep: planbridge verify {name} --list",
}


def digest(day: date, lines: Sequence[Line], zone: tzinfo) -> Message:
    """How everything stands on the morning of `day`: a line for each connection, and what waits for a person."""
    told = [f"- {line.name}: {', '.join(line.state) or 'good'}." for line in lines]
    live = [f"- {line.name}: {_as_of(line, zone)}" for line in lines]
    asks = [f"- {_asked(line)}." for line in lines if line.state]
    due = [_deadline(line.began, line.standing) for line in lines if line.state]
    well = sum(1 for line in lines if not line.state)
    return Message(
        _listed(f"The morning of {_day(day)}: {well} of {len(lines)} good.", told),
        _listed("", [f"- {line.name}: {_trouble(line)}" for line in lines]) or "None.",
        _listed("", live) or "Nothing: no system is connected.",
        _listed("", asks) or "Nothing waits for a person.",
        f"Before {_at(min(due), Standing(zone=zone))}." if due else "Nothing is due.",
    )


def _listed(first: str, lines: Sequence[str]) -> str:
    return "\n".join((first, *lines)) if lines else first


def _as_of(line: Line, zone: tzinfo) -> str:
    good_at = line.standing.good_at
    return "nothing yet." if good_at is None else f"as of {_at(good_at, Standing(zone=zone))}."


def _asked(line: Line) -> str:
    return ASKS[line.state[0]].format(name=line.name, run=line.held_run)


def _trouble(line: Line) -> str:
    """Records set aside and values without a mapping, with what changed within a day."""
    set_aside = f"{_count(line.rejects, 'record')} set aside ({_change(line.rejects, line.rejects_before)})"
    unmapped = f"{_count(line.unmapped, 'value')} without a mapping ({_change(line.unmapped, line.unmapped_before)})"
    return f"{set_aside}, {unmapped}."


def _change(now: int, before: int) -> str:
    if now == before:
        return "as before"
    return f"{abs(now - before):,} {'more' if now > before else 'fewer'} than a day before"
