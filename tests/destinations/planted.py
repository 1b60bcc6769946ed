"""A plan that has a word of its own in every place for words, and which of them a destination's choices let leave."""

import base64
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from html import unescape
from typing import Any
from urllib.parse import unquote_plus

from gateway import planning
from gateway.access import SECTIONS
from gateway.schema.codes import Domain
from gateway.schema.plan import sha256
from gateway.store import consents
from gateway.store import plans as stored
from gateway.store.consents import Given
from tests.destinations.world import ACTOR, Words
from tests.destinations.written import Written
from tests.pdfs import Pdf

BEGIN, END = "zq9", "9qz"
_WORD = re.compile(f"{BEGIN}([a-z]*){END}")

PRIVATE: Mapping[Domain, str] = {
    "social_emotional": "include_social_emotional",
    "behavior": "include_social_emotional",
    "physical_health": "include_health",
    "mental_health": "include_health",
    "accessibility": "include_health",
    "family_basic_needs": "include_family",
}
"""What tells of something that nobody has to know -> the choice that lets it leave."""
OPEN: Sequence[Domain] = ("academic", "attendance_engagement", "language", "college_career", "enrichment")
DOMAINS: Sequence[Domain] = (*OPEN, *PRIVATE)
KINDS = {
    "tutoring": "",
    "mentoring": "",
    "counseling": "include_social_emotional",
    "behavior_support": "include_social_emotional",
    "crisis_response": "include_social_emotional",
    "health_service": "include_health",
    "basic_needs": "include_family",
    "family_support": "include_family",
    "special_education_service_ref": "never",
    "section_504_accommodation_ref": "never",
}
NEVER = frozenset({"never"})


@dataclass
class Sown:
    """The words that were planted. `by` is what has to be chosen so that one may leave for a platform; `told` is where
    it stands: a statement, a name of a support, a target, or something beside that."""

    by: dict[str, frozenset[str]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    def __call__(self, what: str, *by: str, told: str = "") -> str:
        plain = re.sub("[^a-z]", "", what.lower())
        assert plain not in self.by, what
        self.by[plain] = frozenset(one for one in by if one) or NEVER
        self.told[plain] = told
        return f"{BEGIN}{plain}{END}"

    def leaves(self, chosen: Mapping[str, Any]) -> set[str]:
        """The words that a platform may get of which that is chosen."""
        on = {name for name, value in chosen.items() if value is True}
        return set() if chosen.get("doorway") else {word for word, by in self.by.items() if by <= on}


@dataclass
class Full(Written):
    """A plan with all that a plan may have."""

    sown: Sown = field(default_factory=Sown)
    classes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._partner = self._somebody("partner")
        self._organization = f"organization:{self._partner['organization']}"
        self._consent = self.sown("consent")

    async def finalize(self, words: Words) -> None:
        """Written once: no word is given out twice."""
        today, say = date.today().isoformat(), self.sown
        await self.consented(self._organization, "identity", "outside_supports", evidence=self._consent)
        await self._edit(self._content(words))
        await planning.take(self.place.store, self.place.district, self.id, "consult", ACTOR)
        async with self.place.store.transaction(self.place.district) as c:
            content = (await stored.load(c, self.id)).content
            [*_, seen] = [one for one in await stored.events(c, self.id) if one["act"] == "shown"]
        talk = say("summary")
        meeting = {
            "held_on": today,
            "participants": [{"who": self._somebody("guardian", "family"), "role": "guardian"}],
            "summary": talk,
            "family_statement": say("family-statement"),
            "outcome": "agreed",
            "shown_sha256": seen["detail"]["shown_sha256"],
        }
        review = {
            "held_on": today,
            "participants": [self._somebody("reviewer")],
            "decision": "continue",
            "per_goal": [{"goal": "goal-1", "achievement": "improving", "note": say("review-note")}],
        }
        of = {one["id"]: one["statement"] for part in ("strengths", "needs", "goals") for one in content[part]}
        lines = {**of, "/title": content["title"], "consultation-1/summary": talk}
        chosen = ("strength-1", "need-1", "goal-1", "/title", "consultation-1/summary")
        spanish = [
            {"item": item, "text": say(f"spanish-{n}-{'abcde'[n]}"), "of_sha256": sha256(lines[item].encode())}
            for n, item in enumerate(chosen)
        ]
        more = {"consultations": [meeting], "reviews": [review]}
        tongue = {"language": "spa", "translator": self._somebody("translator"), "on": today, "items": spanish}
        await self._edit({**more, "translations": [tongue]})
        await planning.take(self.place.store, self.place.district, self.id, "finalize", ACTOR)

    def _somebody(self, who: str, side: str = "partner") -> dict[str, str]:
        more = {name: self.sown(f"{who}-{name}") for name in ("organization", "agreement") if side == "partner"}
        return {"name": self.sown(f"{who}-name"), "side": side, **more}

    async def consented(self, recipient: str, *sections: Any, evidence: str = "") -> int:
        """A consent of the family that holds today, for what is named of the plan or for all of it."""
        today = date.today()
        given = Given(self.student, "Imre Halloway", "guardian", recipient, sections or sorted(SECTIONS), "planning",
                      True, today, today + timedelta(days=300), evidence)  # fmt: skip
        async with self.place.store.transaction(self.place.district) as c:
            return await consents.add(self.place.store, c, self.place.district, given, ACTOR)

    def _content(self, words: Words) -> dict[str, Any]:
        say, today = self.sown, date.today()
        later, teacher = (today + timedelta(days=90)).isoformat(), self.place.teacher
        seen = {"observation": say("observation"), "on": today.isoformat(), "by": self._somebody("observer")}
        goals = [self._goal(n, domain) for n, domain in enumerate(DOMAINS, 1)]
        hidden = self._goal(1, "academic", "goal-not-shareable") | {"shareable": False}
        of_health = 1 + DOMAINS.index("physical_health")
        supports = [self._support(kind, kind, by) for kind, by in KINDS.items()]
        supports.append(
            self._support("tutoring", "for-health-alone", "include_health") | {"goals": [f"goal-{of_health}"]}
        )
        outside = self._support("mentoring", "outside")
        outside |= {"setting": "community", "owner": self._partner, "consent": self._consent}
        say.by["supportoutside"] = frozenset({"include_outside_supports"})
        return {
            "title": say("title"),
            "coordinator": teacher,
            "next_review_on": (today + timedelta(days=60)).isoformat(),
            "period_end": later,
            "tier": "intensive",
            "strengths": [
                {"domain": of, "statement": say(f"strength-{of}", "include_strengths", PRIVATE.get(of, ""), told="is"),
                 "evidence": [seen]}
                for of in DOMAINS
            ],
            "interests": [{"statement": say("interest", "include_interests", told="is"), "area": say("area")}],
            "needs": [
                {"domain": of, "statement": say(f"need-{of}", "include_needs", PRIVATE.get(of, ""), told="is"),
                 "severity": "urgent", "evidence": [seen]}
                for of in DOMAINS
            ],
            "goals": [*goals, hidden],
            "supports": [*supports, outside],
            "team": [
                {"who": teacher, "role": "teacher"},
                {"who": self._somebody("member"), "role": "partner"},
            ],
            "documents": [
                {"title": say(f"document-{of}"), "sha256": "0" * 64, "media_type": "application/pdf", "section": of,
                 "reference": say(f"place-{of}")}
                for of in ("profile", "health", "family")
            ],
            "external_plans": [
                {"type": of, "system": say(f"system-{of}"), "external_id": say(f"number-{of}"), "status": "ended",
                 "owner": self._somebody(f"owner-{of}")}
                for of in ("iep", "health_plan")
            ],
            "attempts": [
                {"contact": self._somebody("contact", "family"), "channel": "phone", "on": today.isoformat(),
                 "result": "no_answer", "by": teacher}
            ],
        }  # fmt: skip

    def _goal(self, need: int, of: Domain, name: str = "") -> dict[str, Any]:
        say, today = self.sown, date.today()
        name = name or f"goal-{of}"
        by = ("include_goals", PRIVATE.get(of, "")) if "not" not in name else ("never",)
        return {
            "domain": of,
            "statement": say(name, *by, told="is"),
            "addresses": [f"need-{need}"],
            "baseline": {"measure": say(f"{name}-from", *by), "value": 1, "on": today.isoformat()},
            "targets": [
                {"measure": say(f"{name}-to", *by, told="target"), "value": 4, "unit": say(f"{name}-unit", *by,
                 told="target"), "due_on": (today + timedelta(days=90)).isoformat()}
            ],
            "measure": {"assessment": say(f"{name}-assessment"), "score_method": say(f"{name}-method")},
        }  # fmt: skip

    def _support(self, kind: str, name: str, by: str = "") -> dict[str, Any]:
        return {
            "name": self.sown(f"support-{name}", "include_supports", by, told="is"),
            "kind": kind,
            "owner": self.place.teacher,
            "goals": ["goal-1"],
            "frequency": 2,
            "frequency_interval": "week",
            "duration_minutes": 30,
            "status_reason": self.sown(f"reason-{name}"),
        }


def found_in(said: str) -> set[str]:
    """The planted words in a text, and whatever else of one stands in it."""
    low = said.lower()
    whole = set(_WORD.findall(low))
    rest = _WORD.sub("", low)
    return whole | {f"part of one: {rest[at.start() : at.start() + 40]!r}" for at in re.finditer(BEGIN, rest)}


def opened(said: bytes) -> str:
    """Bytes as whoever can take them apart reads them: as text, and each coded piece decoded."""
    return "\n".join(_opened(said, 4))


def _opened(said: bytes, deep: int) -> Iterator[str]:
    if said.startswith(b"%PDF"):
        yield Pdf(said).text().replace("\u200b", "")
        for body in Pdf(said).objects:
            yield from _of_pdf(Pdf(said).objects[body])
        return
    words = said.decode("utf-8", "replace")
    for one in dict.fromkeys(
        (words, unquote_plus(words), unescape(words), re.sub(r"\\u([0-9a-f]{4})", lambda f: chr(int(f[1], 16)), words))
    ):
        yield one
        if deep:
            for piece in re.findall(r"[A-Za-z0-9+/_-]{12,}", one):
                yield from _of_base64(piece, deep)


def _of_base64(piece: str, deep: int) -> Iterator[str]:
    plain = piece.replace("-", "+").replace("_", "/")
    try:
        found = base64.b64decode(plain + "=" * (-len(plain) % 4))
    except ValueError:
        return
    if sum(32 <= sign < 127 for sign in found) > 0.9 * len(found):
        yield from _opened(found, deep - 1)


def _of_pdf(body: bytes) -> Iterator[str]:
    head, _, rest = body.partition(b"stream\n")
    raw = rest.rpartition(b"\nendstream")[0]
    for part in (head, zlib.decompress(raw) if b"/FlateDecode" in head else raw):
        yield part.replace(b"\0", b"").decode("latin-1")
        for coded in re.findall(rb"<([0-9A-Fa-f]{8,})>", part):
            yield bytes.fromhex(coded.decode()[: len(coded) // 2 * 2]).replace(b"\0", b"").decode("latin-1")


def shown(documents: Sequence[Any]) -> str:
    """What a preview lists: each document, its key, and the file that it makes."""
    told = [json.dumps([one.key, one.body], ensure_ascii=False, default=str) for one in documents]
    return "\n".join([*told, *(opened(one.content()) for one in documents if one.content is not None)])
