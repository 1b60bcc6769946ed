"""What a platform's services are asked and answer: who is in a course, its columns, what stands in them."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from connectors.lti.paging import listed, pages
from connectors.lti.settings import Trusted
from gateway import clock
from gateway.http import Http, Reply, same_origin

AGS = "https://purl.imsglobal.org/spec/lti-ags/scope"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
SCOPES = (f"{AGS}/lineitem", f"{AGS}/result.readonly", f"{AGS}/score", NRPS)
"""All that is ever asked for, at once: one token for each platform."""

# Letter by letter: Moodle takes no other, not even */*. # AGS 2.0, NRPS 2.0
MEMBERS = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
COLUMNS = "application/vnd.ims.lis.v2.lineitemcontainer+json"
COLUMN = "application/vnd.ims.lis.v2.lineitem+json"
RESULTS = "application/vnd.ims.lis.v2.resultcontainer+json"
SCORE = "application/vnd.ims.lis.v1.score+json"
# What writes is told apart by its Content-Type; Moodle answers a DELETE with an empty web page.
ANY = "*/*"

CUSTOM = "https://purl.imsglobal.org/spec/lti/claim/custom"
SOURCED_ID = "person_sourcedid"
"""The custom parameter of our tool that platforms fill with `$Person.sourcedId`."""


@dataclass(frozen=True)
class Member:
    """Somebody in a course. `id`: by which the platform knows them; `numbers`: by which the district does."""

    id: str
    name: str = ""
    numbers: tuple[str, ...] = ()
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Result:
    """What stands in a column for one student."""

    person: str
    comment: str = ""
    score: float | None = None

    @property
    def is_empty(self) -> bool:
        return not self.comment and self.score is None


@dataclass(frozen=True)
class No:
    """A platform's refusal."""

    reply: Reply


FRESH = timedelta(minutes=1)
"""For so long who is in a course counts as known. Hundreds of plans go to a course one after the other; whoever leaves
it meanwhile is not taken for one of it for long."""


@dataclass
class Services:
    """One platform's services, for as long as anything is delivered to it. Who is in a course is asked once for all
    plans that go there side by side."""

    http: Http
    trusted: Trusted = "none"
    _members: dict[str, tuple[list[Member], datetime]] = field(default_factory=dict)
    _asking: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def members(self, url: str) -> list[Member] | No:
        """Who is in a course now. Nobody is left out for a role: what platforms call people differs."""
        async with self._asking.setdefault(url, asyncio.Lock()):
            known, asked_at = self._members.get(url, ([], datetime.min.replace(tzinfo=UTC)))
            if clock.now() - asked_at < FRESH:
                return known
            asked_at, found = clock.now(), []
            async for page in pages(self.http, url, {}, MEMBERS):
                if page.status != 200:
                    return No(page)
                rows = [row for row in listed(page, "members") if row.get("status", "Active") == "Active"]
                found += [_member(row, self.trusted) for row in rows]
            self._members[url] = found, asked_at
            return found

    async def columns(self, url: str, resource_id: str) -> list[str] | No:
        """The addresses of the columns of a course that bear this mark."""
        found = []
        async for page in pages(self.http, url, {"resource_id": resource_id}, COLUMNS):
            if page.status != 200:
                return No(page)
            # Some give all of them, whatever they are asked.
            ours = [row for row in listed(page) if row.get("resourceId") == resource_id]
            found += [same_origin(url, str(row["id"])) for row in ours if row.get("id")]
        return list(dict.fromkeys(found))

    async def add_column(self, url: str, column: Mapping[str, Any]) -> str | No:
        """A new column; its address, empty where the platform does not say. Never repeated by itself: twice is two."""
        reply = await self.http.send(
            "POST", url, json=_encoded(column), headers={"content-type": COLUMN, "accept": ANY}, repeatable=False
        )
        if reply.status not in (200, 201):
            return No(reply)
        body = reply.json() if reply.body.strip() else None
        id = body.get("id") if isinstance(body, dict) else None
        return same_origin(url, str(id)) if id else ""

    async def drop_column(self, column: str) -> No | None:
        """Take a column away, and all that stands in it. None where it is gone."""
        reply = await self.http.send("DELETE", column, json=None, headers={"accept": ANY}, repeatable=True)
        return None if reply.status in (200, 202, 204, 404, 410) else No(reply)

    async def put_score(self, column: str, score: Mapping[str, Any]) -> Reply:
        """Never repeated by itself: Canvas adds a comment each time."""
        headers = {"content-type": SCORE, "accept": ANY}
        return await self.http.send(
            "POST", under(column, "scores"), json=_encoded(score), headers=headers, repeatable=False
        )

    async def results(self, column: str, person: str = "") -> list[Result] | No:
        """What stands in a column, for one person or for all. Without a limit: Moodle 4.5 fails at one."""
        found = []
        async for page in pages(self.http, under(column, "results"), {"user_id": person} if person else {}, RESULTS):
            if page.status != 200:
                return No(page)
            found += [_result(row) for row in listed(page)]
        return [one for one in found if not person or one.person == person]


def under(column: str, name: str) -> str:
    """`scores` or `results` of a column: behind the path of its address, before the query. # AGS 2.0 3.4.3"""
    parts = urlsplit(column)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def _member(row: Mapping[str, Any], trusted: Trusted) -> Member:
    told = row.get("message")
    given = [one.get(CUSTOM) for one in told if isinstance(one, dict)] if isinstance(told, list) else []
    # A platform that does not know the variable gives it back as it is written.
    said = [str(one[SOURCED_ID]) for one in given if isinstance(one, dict) and one.get(SOURCED_ID)]
    profile = [str(row.get("lis_person_sourcedid") or "")] if trusted in ("sourcedid", "both") else []
    custom = [one for one in said if not one.startswith("$")] if trusted in ("parameter", "both") else []
    roles = row.get("roles")
    return Member(
        str(row.get("user_id") or ""),
        str(row.get("name") or ""),
        tuple(dict.fromkeys(filter(None, [*profile, *custom]))),
        # Short names and addresses that end in them: Learner, http://.../membership#Learner.
        frozenset(re.split(r"[#/]", str(role))[-1] for role in roles) if isinstance(roles, list) else frozenset(),
    )


def _result(row: Mapping[str, Any]) -> Result:
    score = row.get("resultScore")
    return Result(
        str(row.get("userId") or ""),
        str(row.get("comment") or ""),
        float(score) if isinstance(score, int | float) else None,
    )


def _encoded(body: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(body)
