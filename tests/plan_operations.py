"""Random operations upon a plan in a real store, each remembered, so that any earlier moment can be compared."""

import copy
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, get_args

import pytest
from sqlalchemy import text

from gateway import clock, planning
from gateway.errors import ConfigError, Refused
from gateway.plan_events import told
from gateway.plans import Given, Step
from gateway.schema.plan import Plan, canonical, sha256, shown_items
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.registers import Actor

AUTHOR = Actor("Ottoline Farrow", "educator")
STEPS: tuple[Step, ...] = get_args(Step)
ONWARD: dict[str, list[Step]] = {
    "gathering": ["draft"],
    "draft": ["consult"],
    "consultation": ["finalize", "finalize", "finalize", "reopen"],
    "finalized": ["activate"],
    "active": ["hold", "review"],
    "in_review": ["continue", "close"],
    "on_hold": ["resume"],
}
EDITS = (0, 1, 2, 3, 4, 4, 4, 5)
"""Kinds of edits; the one that mends everything comes more often, or few plans would get anywhere."""
WORDS = ("Reads aloud.", "Reads a chapter.", "Retells a story.", "")


@dataclass
class Moment:
    """What a plan was after one of its acts."""

    plan: str
    seq: int
    state: str
    standing: str | None
    content: dict[str, Any]


@dataclass
class Operated:
    """A plan, what it was after each act, and its finalized versions."""

    store: Store
    district: int
    sound: dict[str, Any]
    rng: Random
    plan: str = ""
    moments: list[Moment] = field(default_factory=list)
    versions: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    async def begin(self) -> None:
        self.plan = await planning.create(self.store, self.district, self.sound, AUTHOR, gathering=True)
        await self.remember()

    async def operate(self, monkeypatch: pytest.MonkeyPatch, day: int) -> None:
        """One operation on some day: an edit, a step, a review, the passing of time; or its refusal."""
        now = datetime(2026, 11, 28, tzinfo=UTC) + timedelta(days=day)
        monkeypatch.setattr(clock, "now", lambda: now)
        try:
            await self._one_of_them()
        except (Refused, ConfigError) as refused:
            assert isinstance(refused, ConfigError) or refused.missing or refused.code.startswith("plan-")
            self.refused[refused.code] += 1
            if refused.code in ("plan-over",):
                await self.begin()
            return
        await self.remember()

    async def _one_of_them(self) -> None:
        draw, today = self.rng.random(), clock.today()
        if draw < 0.3:
            return await self._edit()
        if draw < 0.4:
            goals = (await self._stored()).content.get("goals", [])
            found = [{"goal": one["id"], "achievement": self.rng.choice(["improving", "achieved"])} for one in goals]
            held = {"held_on": today.isoformat(), "decision": "continue", "per_goal": found}
            held |= {"next_review_on": (today + timedelta(days=self.rng.randrange(1, 90))).isoformat()}
            await planning.review(self.store, self.district, self.plan, held, AUTHOR)
        elif draw < 0.5:
            await planning.pass_time(self.store, self.district, self.plan)
        else:
            found = await self._stored()
            if found.state == "consultation" and self.rng.random() < 0.5:
                return await self._edit(3)
            onward = ONWARD.get(found.standing or "", []) + ONWARD.get(found.state, [])
            step = self.rng.choice(onward if onward and self.rng.random() < 0.93 else STEPS)
            given = self.rng.choice([Given(), Given("A reason.", "goals_met", "Goes on well.")])
            await planning.take(self.store, self.district, self.plan, step, AUTHOR, given)
        return None

    async def _edit(self, what: int | None = None) -> None:
        content = copy.deepcopy((await self._stored()).content)
        today = clock.today()
        match self.rng.choice(EDITS) if what is None else what:
            case 0:
                content["strengths"] = [{"statement": words} for words in WORDS[: self.rng.randrange(3)]]
            case 1 if content.get("goals"):
                content["goals"][0]["statement"] = self.rng.choice(WORDS)
            case 2:
                content["next_review_on"] = (today + timedelta(days=self.rng.choice([-1, 30, 400]))).isoformat()
            case 3:
                meeting = {"held_on": today.isoformat(), "outcome": "agreed"}
                family = {"name": "Oddmund Quillfeather", "side": "family"}
                content["consultations"] = [meeting | {"participants": [{"who": family, "role": "parent"}]}]
                async with self.store.transaction(self.district) as c:
                    shown = [e["detail"] for e in await stored.events(c, self.plan) if e["act"] == "shown"]
                if shown:
                    items = shown[-1]["items"].keys() | shown_items(Plan.model_validate(content)).keys()
                    told_of = items if self.rng.random() < 0.8 else {"goal-1"}
                    content["consultations"][0] |= {"shown_sha256": shown[-1]["shown_sha256"]}
                    content["consultations"][0] |= {"changes": [{"item": item} for item in sorted(told_of)]}
            case 4:
                # Each item under its id: one without would be a new one, and nothing would answer the need it answered.
                whole = json.loads(canonical(Plan.model_validate(self.sound)))
                content = content | {name: value for name, value in whole.items() if name != "consultations"}
                content |= {"next_review_on": (today + timedelta(days=30)).isoformat()}
            case _:
                content["period_start"] = (today + timedelta(days=self.rng.randrange(-3, 9))).isoformat()
        await planning.edit(self.store, self.district, self.plan, content, AUTHOR)

    async def _stored(self) -> stored.StoredPlan:
        async with self.store.transaction(self.district) as c:
            return await stored.load(c, self.plan)

    async def remember(self) -> None:
        """What the plan is now, under the number of its last act."""
        async with self.store.transaction(self.district) as c:
            found = await stored.load(c, self.plan)
            seq = await c.scalar(
                text("SELECT max(seq) FROM plan_event WHERE plan_id = CAST(:plan AS uuid)"), {"plan": self.plan}
            )
            if found.version is not None:
                made = await stored.version(c, self.plan)
                self.versions.setdefault((self.plan, made.version), (made.content, made.sha256))
        self.moments.append(Moment(self.plan, seq, found.state, found.standing, found.kept))

    async def compare(self) -> dict[str, int]:
        """Every remembered moment against the replay of the acts up to it, and every version against its bytes."""
        finalized = 0
        for plan in {moment.plan for moment in self.moments}:
            async with self.store.transaction(self.district) as c:
                events = await stored.events(c, plan)
                kept = {n: await stored.version(c, plan, n) for id, n in self.versions if id == plan}
            for moment in (one for one in self.moments if one.plan == plan):
                replayed = told(event for event in events if event["seq"] <= moment.seq)
                assert (replayed.state, replayed.standing) == (moment.state, moment.standing)
                assert replayed.content == moment.content
            for n, version in kept.items():
                assert (version.content, version.sha256) == self.versions[plan, n]
                assert version.sha256 == sha256(version.content.encode())
                assert canonical(Plan.model_validate_json(version.content)) == version.content.encode()
                assert version.guard_report and all(guard["ok"] for guard in version.guard_report)
                lawful(json.loads(version.content))
                finalized += 1
        return {"moments replayed": len(self.moments), "versions": finalized, "refused": self.refused.total()}


def lawful(plan: dict[str, Any]) -> None:
    """What the rules ask of a version, written down apart from the guards."""
    assert plan["strengths"] and plan["needs"] and all(need["evidence"] for need in plan["needs"])
    assert all(goal["addresses"] and goal["targets"] for goal in plan["goals"])
    assert plan["consultations"] and plan["coordinator"] and plan["next_review_on"]
    assert all(support["owner"] and support["goals"] for support in plan.get("supports", ()))
