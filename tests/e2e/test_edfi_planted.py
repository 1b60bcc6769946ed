"""What a plan says in words reaches no Ed-Fi server unasked: in no body, address, header or id, whatever happens."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from connectors.edfi.marker import ENROLLMENTS
from gateway import delivery, planning
from gateway.settings import Settings
from gateway.store import plans as stored
from tests.e2e.test_delivery import COUNSELOR, STANDARDS, Here
from tests.e2e.test_delivery import extension as extension
from tests.e2e.test_delivery import here as here  # a fixture
from tests.e2e.test_delivery import standard as standard
from tests.e2e.test_verification import Night

PLANTED = "Zq9planted"


class Words:
    """Texts that stand nowhere else; `all` of them that were given out."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def __call__(self, what: str) -> str:
        self.all.append(f"{PLANTED}-{what}")
        return self.all[-1]


def rich(here: Here, say: Words) -> dict[str, Any]:
    """Every text that a plan may have, and a sensitive need, each with words of its own."""
    today, later = date.today(), date.today() + timedelta(days=90)
    seen = {"observation": say("observation"), "on": str(today), "by": somebody(say, "observer")}
    goals = ["goal-1", "goal-2"]
    return {
        "title": say("title"),
        "coordinator": here.teacher,
        "tier": "intensive",
        "strengths": [{"statement": say("strength"), "evidence": [seen], "domain": "academic"}],
        "interests": [{"statement": say("interest"), "said_by": "student"}],
        "needs": [
            {"id": f"need-{n}", "domain": of, "statement": say(f"need-{of}"), "severity": "urgent", "evidence": [seen]}
            for n, of in ((1, "academic"), (2, "behavior"))
        ],
        "goals": [
            {
                "id": f"goal-{n}",
                "domain": "academic",
                "statement": say(f"goal-{n}"),
                "addresses": [f"need-{n}"],
                "baseline": {"measure": say(f"baseline-{n}"), "value": 1, "on": str(today)},
                "targets": [
                    {"measure": say(f"target-{n}"), "value": 4, "unit": say(f"unit-{n}"), "due_on": str(later)}
                ],
            }
            for n in (1, 2)
        ],
        "supports": [
            {"name": say("support-1"), "kind": "counseling", "owner": here.teacher, "goals": goals},
            {
                "name": say("support-2"),
                "kind": "mentoring",
                "owner": somebody(say, "partner"),
                "goals": goals,
                "consent": say("consent"),
            },
            {"name": say("support-3"), "kind": "tutoring", "owner": here.teacher, "goals": goals},
        ],
        "team": [
            {"who": here.teacher, "role": "teacher"},
            {"who": somebody(say, "member"), "role": "partner"},
        ],
    }


def somebody(say: Words, who: str) -> dict[str, str]:
    said = {name: say(f"{who}-{name}") for name in ("name", "organization", "agreement")}
    return {**said, "side": "partner"}


async def finalize(here: Here, say: Words) -> None:
    """After a meeting of which much is noted."""
    await here.consented(say("partner-organization"), say("consent"), "identity", "school_supports")
    await planning.take(here.store, here.district, here.plan, "consult", COUNSELOR)
    async with here.store.transaction(here.district) as c:
        [*_, shown] = [event for event in await stored.events(c, here.plan) if event["act"] == "shown"]
    meeting = {
        "held_on": str(date.today()),
        "participants": [{"who": {"name": say("guardian"), "side": "family"}, "role": "guardian"}],
        "summary": say("summary"),
        "family_statement": say("family"),
        "outcome": "agreed",
        "shown_sha256": shown["detail"]["shown_sha256"],
    }
    await here.edit(lambda content: content.update(consultations=[meeting]))
    await planning.take(here.store, here.district, here.plan, "finalize", COUNSELOR)


@pytest.mark.parametrize("standard", STANDARDS)
async def test_no_word_of_a_plan_is_in_any_request_unasked(here: Here, settings: Settings) -> None:
    """A push with its marker, a refusal, a look afterwards, reading back, a new version."""
    say, night, seen = Words(), Night(here, settings), here.there.gate.seen
    await here.edit(lambda content: content.update(rich(here, say)))
    await finalize(here, say)
    assert len(say.all) == 32 and not hits(seen)
    seen.clear()
    await here.profile(mark_enrollment=True)
    here.there.gate.closed = "studentInterventionAssociations"
    assert (await here.push())["state"] == "parked"
    here.there.gate.closed = ""
    assert (await here.push())["state"] == "delivered"
    night.sis_posts(entryDate=night.enrollment()["entryDate"])
    await night.look()
    await night.deliver_what_is_queued()
    await delivery.read_back(here.store, here.district, here.plan, "ods")
    changed = {"duration_minutes": 45, "name": say("renamed"), "end_on": str(date.today() + timedelta(days=30))}
    await here.edit(lambda content: content["supports"][0].update(changed))
    await finalize(here, say)
    assert (await here.push())["state"] == "delivered"
    verbs = {(one.partition(" ")[0], one.partition("/ed-fi/")[2].partition("?")[0].partition("/")[0]) for one in seen}
    assert {("POST", "interventions"), ("PUT", ENROLLMENTS), ("GET", ENROLLMENTS)} <= verbs
    assert list(hits(seen)) == []
    # And this would have seen it: asked for, the statements go, and nothing but them.
    seen.clear()
    await here.profile(include_need_statements=True)
    await here.push()
    assert {word for _, word in hits(seen)} == {f"{PLANTED}-need-academic", f"{PLANTED}-need-behavior"}


def hits(requests: list[str]) -> list[tuple[str, str]]:
    """Each request that has a word of a plan in it or says something of a diagnosis, with what it says."""
    return list(_hits(requests))


def _hits(requests: list[str]) -> Iterator[tuple[str, str]]:
    for one in requests:
        for word in json.dumps(one).split('"'):
            for part in word.replace("\\", " ").split():
                if PLANTED in part:
                    yield one, part.strip("';,.")
        if "diagnos" in one.casefold() and PLANTED not in one:
            yield one, "a diagnosis"
