"""A Moodle being written to: its twin on a socket, a plan as the mapping has it, and what a ledger would remember."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from starlette.applications import Starlette

from connectors.moodle import CONNECTOR
from connectors.moodle.settings import MoodleSettings
from connectors.moodle.sink import MoodleSink
from connectors.moodle.twin import TEAM, Site, twin
from gateway import registry
from gateway.connector import Document, Loss, Receipt
from gateway.http import Http, MemoryTokens
from gateway.mapping import Member, Parties
from gateway.schema.plan import Plan
from synthetic import build
from tests.serving import serve

DISTRICT = build(schools=1, students=6, seed=11)
STUDENT, OTHER = DISTRICT.students[0].number, DISTRICT.students[1].number
TEACHER, COUNSELOR = DISTRICT.staff[0].number, DISTRICT.staff[1].number
PLAN = "5f3c1c52-6f0e-4f7e-9d7a-0a5a3c6f1e11"
PEOPLE = {TEACHER: "11111111-1111-4111-8111-111111111111", COUNSELOR: "22222222-2222-4222-8222-222222222222"}
MARKER = f"urn:uuid:{PLAN}"
TODAY = date.today()


@contextmanager
def a_moodle() -> Iterator[tuple[Starlette, Site, str]]:
    made = twin(DISTRICT)
    with serve(made) as url:
        yield made, made.state.site, url


def of(site: Site, number: str) -> int:
    """The account of a number."""
    return next(one.id for one in site.users.values() if one.idnumber == number)


def configured(url: str, **more: Any) -> MoodleSettings:
    given = {"base_url": url, "token": "demo-token", "team_role": TEAM, "private_addresses": ["127.0.0.1: a twin"]}
    return MoodleSettings.model_validate(given | more)


@asynccontextmanager
async def opened(url: str, **more: Any) -> AsyncIterator[MoodleSink]:
    settings = configured(url, **more)
    async with Http(CONNECTOR.auth(settings), tokens=MemoryTokens(), network=settings.network, attempts=2) as http:
        assert CONNECTOR.open_sink is not None
        sink = await CONNECTOR.open_sink(settings, http)
        assert isinstance(sink, MoodleSink)
        yield sink


def a_plan(**more: Any) -> Plan:
    content: dict[str, Any] = {
        "student": "33333333-3333-4333-8333-333333333333",
        "school": "44444444-4444-4444-8444-444444444444",
        "period_start": (TODAY - timedelta(days=30)).isoformat(),
        "period_end": (TODAY + timedelta(days=200)).isoformat(),
        "next_review_on": (TODAY + timedelta(days=60)).isoformat(),
        "strengths": [{"statement": "Reads 5 > 2 pages & more <quickly>.", "domain": "academic"}],
        "needs": [{"domain": "academic", "statement": "A planted need.", "evidence": [{"observation": "Seen."}]}],
        "goals": [
            {
                "domain": "attendance_engagement",
                "statement": "Is there every day",
                "addresses": ["need-1"],
                "baseline": {"measure": "days", "value": 4, "on": TODAY.isoformat()},
                "targets": [{"measure": "days", "value": 1, "due_on": (TODAY + timedelta(days=90)).isoformat()}],
            },
            {"domain": "mental_health", "statement": "A planted feeling.", "addresses": ["need-1"]},
        ],
        "supports": [{"name": "Reading hour", "kind": "tutoring", "owner": PEOPLE[TEACHER], "goals": ["goal-1"]}],
        "team": [{"who": PEOPLE[one], "role": "teacher"} for one in (TEACHER, COUNSELOR)],
        "consultations": [{"held_on": "2026-09-12", "outcome": "agreed", "summary": "Planted words."}],
    }
    return Plan.model_validate(content | more)


def parties(team: tuple[str, ...] = (TEACHER, COUNSELOR), **more: Any) -> Parties:
    given: dict[str, Any] = {
        "plan": PLAN,
        "student": STUDENT,
        "staff": {PEOPLE[one]: one for one in team},
        "settings": {"team_role": TEAM},
        "today": TODAY,
        "link": f"https://planbridge.example.org/plans/{PLAN}",
        "roles": {PEOPLE[TEACHER]: "teacher"},
        "team": tuple(Member(PEOPLE[one], one, "teacher") for one in team),
    }
    return Parties(**(given | more))


def documents(plan: Plan, people: Parties | None = None, **choices: Any) -> tuple[list[Document], list[Loss]]:
    mapping = registry.mapping("moodle")
    assert mapping.outbound is not None and mapping.profile is not None
    return mapping.outbound(plan, people or parties(), mapping.profile.model_validate(choices), mapping.codes())


@dataclass
class Ledger:
    """What the core remembers of each object between two deliveries."""

    ids: dict[str, str] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Document] = field(default_factory=dict)

    async def send(self, sink: MoodleSink, sent: list[Document]) -> list[Receipt]:
        async def announce(document: Document, remote_id: str) -> None:
            self.ids[document.name] = remote_id
            self.kept[document.name] = document

        sink.announcing(announce)
        receipts = []
        for document in sent:
            sink.know(document, self.ids.get(document.name, ""))
            receipt = await sink.push(document)
            if receipt.delivered:
                self.ids[document.name] = receipt.remote_id
                self.revisions[document.name] = receipt.revision
                self.kept[document.name] = document
            receipts.append(receipt)
        return receipts

    async def take_back(self, sink: MoodleSink) -> list[Receipt]:
        """As the core does: known by key and remote id alone."""
        receipts = []
        for name in reversed([name for name, one in self.kept.items() if not one.create_only]):
            bare = Document(self.kept[name].resource, self.kept[name].key, {})
            sink.know(bare, self.ids.pop(name))
            receipts.append(await sink.delete(bare))
        return receipts
