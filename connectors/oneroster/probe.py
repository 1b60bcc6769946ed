"""What a OneRoster server does when it is tried: its paths, its pages, its filter; and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from connectors.oneroster.admission import ask_for, let_in, way_out
from connectors.oneroster.catalogue import HOMES, VERSIONS, scope_of
from connectors.oneroster.envelope import Answer
from connectors.oneroster.models import RESOURCES, Record, is_deleted
from connectors.oneroster.server import FAR_AHEAD, LONG_AGO, NOT_OFFERED, Server, changed_since
from connectors.oneroster.settings import AUTO, Dialect, OneRosterSettings, dialect
from gateway.connector import Finding
from gateway.errors import ConfigError, PlanbridgeError
from gateway.http import Http
from gateway.payload import UNREADABLE

_CLOCKS_AGREE = timedelta(minutes=2)
_RECENT = timedelta(hours=36)
_SAMPLE, _FEW = 50, 10
_LOOKS = 3
_SMALLER = (500, 200, 100)
_UNUSUAL = ("/ims/oneroster/v1p2", "/rostering/v1p2", "/oneroster/v1p2", "/oneroster/v1p1")
"""Other places where servers have been met."""


async def findings(settings: OneRosterSettings) -> Sequence[Finding]:
    """All that can be seen by reading. Each finding may propose settings; none says a secret or a value of a record."""
    found: list[Finding] = []
    try:
        settings, found = await let_in(settings)
        async with way_out(settings) as http:
            return _at_auto(settings, found + await _Look(dialect(settings), http).everything())
    except PlanbridgeError as error:
        return [*found, Finding(False, error.message, error.fix)]


def _at_auto(settings: OneRosterSettings, found: list[Finding]) -> list[Finding]:
    """Scopes that are those of the version that was found stay at auto, so that they follow the collections."""
    version = next((one.propose["version"] for one in found if "version" in one.propose), settings.version)
    auto = dialect(settings.model_copy(update={"version": version, "scopes": AUTO})).scopes
    return [replace(one, propose={k: v for k, v in one.propose.items() if (k, v) != ("scopes", auto)}) for one in found]


class _Look:
    """One look at a server that lets us in."""

    def __init__(self, spoken: Dialect, http: Http) -> None:
        self._spoken = spoken
        self._http = http
        self._server = Server(spoken, http)
        self._natural = spoken.order in ("natural", "none")

    async def everything(self) -> list[Finding]:
        found = [await self._where()]
        if not found[0].ok:
            return found
        found += [await self._sorting(), *await self._collections(), *await self._changes(), await self._clock()]
        return [each for each in found if each.text]

    async def _where(self) -> Finding:
        """The version whose addresses there are."""
        if self._spoken.version is None:
            for version in VERSIONS:
                server = Server(replace(self._spoken, version=version), self._http)
                if await self._has_orgs(server):
                    self._server = server
                    place = self._spoken.path("rostering", version)
                    return Finding(
                        True, f"It speaks the addresses of OneRoster {version} ({place}).", propose={"version": version}
                    )
            for path in _UNUSUAL:
                server = Server(replace(self._spoken, version="1.2", paths={"rostering": path}), self._http)
                if await self._has_orgs(server):
                    self._server = server
                    return Finding(True, f"Rostering is at {path}.", propose={"version": "1.2", "rostering_path": path})
        elif await self._has_orgs(self._server):
            place = self._spoken.path("rostering", self._spoken.version)
            return Finding(True, f"Rostering is at {place}, as of OneRoster {self._spoken.version}.")
        return Finding(
            False,
            f"There is no OneRoster service at {self._spoken.base_url}: neither 1.1 nor 1.2.",
            "Ask the vendor for the address, as far as /ims/oneroster; a path of its own is set as rostering_path.",
        )

    async def _has_orgs(self, server: Server) -> bool:
        try:
            return (await server.page("orgs", 0, 1, natural=True)).refused in (0, 403)
        except ConfigError:
            return False

    async def _sorting(self) -> Finding:
        """Whether pages come sorted, or at least the same twice."""
        first, refused = await self._users(), False
        if first.refused in (400, 422) and not self._natural:
            self._natural = refused = True
            first = await self._users()
        again = await self._users()
        if first.refused:
            return Finding(True, "")
        if first.keys != again.keys:
            self._natural = True
            return Finding(
                False,
                "Its pages come in another order each time, so that rows may be missed.",
                "Ask the vendor for pages sorted by sourcedId. Until then only its count tells whether all came.",
                {"order": "none"},
            )
        if refused:
            return Finding(True, "It refuses to sort; its own order stays the same.", propose={"order": "natural"})
        folded = [key.casefold() for key in first.keys]
        if list(first.keys) == sorted(first.keys) or folded == sorted(folded):
            return Finding(True, "Its pages come sorted by sourcedId.")
        return Finding(True, "It does not sort by sourcedId, but its own order stays the same.")

    async def _users(self, filter: str = "") -> Answer:
        return await self._page("users", 0, _SAMPLE, filter)

    async def _page(self, name: str, offset: int, limit: int, filter: str = "") -> Answer:
        return await self._server.page(name, offset, limit, natural=self._natural, filter=filter)

    async def _collections(self) -> list[Finding]:
        found: list[Finding] = []
        cap, wrong, link, shapes = 0, list[str](), False, set[str]()
        for name in [name for name in RESOURCES if name in self._spoken.collections]:
            try:
                seen = await self._surely(name)
            except PlanbridgeError as error:
                found.append(Finding(False, f"{name}: {error.message}", error.fix))
                continue
            found.append(seen.finding)
            cap = min(filter(None, (cap, seen.cap)), default=0)
            wrong += [name] if seen.wrong_total else []
            link = link or seen.link
            shapes |= seen.shapes
        if shapes:
            both = "those of 1.1 and of 1.2, from record to record" if len(shapes) > 1 else f"those of {min(shapes)}"
            found.append(Finding(True, f"The fields of its users are {both}."))
        if cap:
            found.append(Finding(True, f"It gives at most {cap} rows at once.", propose={"page_size": cap}))
        if wrong:
            found.append(
                Finding(
                    False,
                    f"Its X-Total-Count is wrong for {', '.join(wrong)}.",
                    "Tell the vendor. It is not looked at from now on; the pages themselves show whether all came.",
                    propose={"totals": "no"},
                )
            )
        found.append(Finding(True, f"Link headers are {'sent' if link else 'not sent'}; they are not needed."))
        return found

    async def _surely(self, name: str) -> "_Seen":
        """What a collection shows, where that is kept only if it shows it again: a roster that changes just now looks
        like one with a wrong count or with small pages."""
        seen = await self._collection(name)
        looks = 1
        while (seen.wrong_total and looks < _LOOKS) or (seen.cap and looks == 1):
            before, seen = seen, await self._collection(name)
            cap = seen.cap if seen.cap == before.cap else 0
            seen = replace(seen, cap=cap, wrong_total=before.wrong_total and seen.wrong_total)
            looks += 1
        return seen

    async def _collection(self, name: str) -> "_Seen":
        if self._server.version == "1.1" and not HOMES[name].scope_1_1:
            return _Seen(Finding(True, f"{name}: not in OneRoster 1.1."))
        asked = self._spoken.page_size
        first = await self._page(name, 0, asked)
        for limit in _SMALLER:
            if first.refused in (400, 422) and limit < asked:
                first, asked = await self._page(name, 0, limit), limit
        if first.refused == 403:
            scope = scope_of(name, self._server.version or "1.2")
            return _Seen(Finding(False, f"{name}: not granted: scope {scope.rpartition('/')[2]}.", ask_for(scope)))
        if first.refused:
            missing = name != "orgs" and first.refused in NOT_OFFERED
            words = "not offered by this server" if missing else f"answered {first.refused}"
            return _Seen(Finding(missing, f"{name}: {words}."))
        received, total = len(first.rows), first.total
        more = await self._after(name, received) if received else 0
        cap = received if more and received < asked else asked if asked < self._spoken.page_size else 0
        wrong = total is not None and await self._is_wrong(name, total, received, more)
        clamped = f", {received} a page instead of {self._spoken.page_size}" if cap else ""
        if total is None:
            text = f"{name}: {received} {'on the first page' if more else 'in all'}; no X-Total-Count{clamped}."
        else:
            text = f"{name}: {total}{clamped}."
        shapes = frozenset(map(_shape, first.rows[:_SAMPLE])) - {""} if name == "users" else frozenset[str]()
        return _Seen(Finding(received > 0 or not total, text), cap, wrong, "link" in first.reply.headers, shapes)

    async def _after(self, name: str, received: int) -> int:
        """How many rows there are behind a page, if not more than one."""
        got = await self._page(name, received, 1)
        return len(got.rows[:1])

    async def _is_wrong(self, name: str, total: int, received: int, more: int) -> bool:
        """Whether there is no last row where the count says, or one more behind it."""
        if not more:
            return total != received
        if total <= received:
            return True
        last = await self._page(name, total - 1, 2)
        return len(last.rows) != 1

    async def _changes(self) -> list[Finding]:
        """Whether what changed can be asked for, and whether what was deleted is among it."""
        everything = await self._users()
        if everything.refused or not everything.rows:
            return []
        if why := await self._filters_badly():
            return [_whole(why)]
        if self._is_refreshed(everything):
            return [_whole("Its dateLastModified is the time of a refresh, the same in every record")]
        found = [Finding(True, "It tells what changed since a moment (filter on dateLastModified).")]
        if not all(mark.zoned for mark in everything.marks):
            found.append(
                Finding(
                    True, "Its times do not say their zone: they are taken for UTC, and none is left out by them here."
                )
            )
        gone = await self._users(filter="status='tobedeleted'")
        if any(_is_gone(row) for row in gone.rows):
            text = "It shows what was deleted, as tobedeleted: asking for what changed is enough."
            found.append(Finding(True, text, propose={"changes": "yes"}))
        else:
            text = "It shows nobody who was deleted: either nobody was, or only a whole pull finds it."
            found.append(Finding(True, text))
        if not self._spoken.changes:
            found.append(Finding(True, "As the settings are, everything is pulled each time."))
        return found

    async def _filters_badly(self) -> str:
        """What is wrong with its filter for changes, if anything is."""
        never = await self._users(filter=changed_since(FAR_AHEAD))
        always = await self._users(filter=changed_since(LONG_AGO))
        if never.refused or always.refused:
            return "It refuses a filter on dateLastModified"
        if never.rows:
            return "It ignores a filter on dateLastModified"
        return "" if always.rows else "Its filter on dateLastModified finds nothing"

    @staticmethod
    def _is_refreshed(got: Answer) -> bool:
        """Whether all records seem to have changed at one moment not long ago."""
        moments = {mark.changed for mark in got.marks}
        moment = min(filter(None, moments), default=None)
        now = got.given_at or datetime.now(UTC)
        return len(got.rows) >= _FEW and len(moments) == 1 and moment is not None and now - moment < _RECENT

    async def _clock(self) -> Finding:
        got = await self._server.page("orgs", 0, 1, natural=True)
        if got.given_at is None:
            return Finding(True, "It does not say what time it has.")
        ahead = got.given_at - datetime.now(UTC)
        if abs(ahead) <= _CLOCKS_AGREE:
            return Finding(True, "Its clock and ours agree.")
        minutes, way = round(abs(ahead) / timedelta(minutes=1)), "ahead of" if ahead > timedelta() else "behind"
        return Finding(False, f"Its clock is {minutes} minutes {way} ours.", "Have the clock set that is wrong.")


@dataclass
class _Seen:
    """What one collection showed: the most rows that the server gives at once, if that is less than was asked; in
    which versions' shape its records are."""

    finding: Finding
    cap: int = 0
    wrong_total: bool = False
    link: bool = False
    shapes: frozenset[str] = frozenset()


class _Shaped(msgspec.Struct):
    roles: Any = None
    role: Any = None


def _shape(row: msgspec.Raw) -> str:
    """The version in whose shape a user is, if it can be told. # OneRoster 1.1: role; 1.2: roles"""
    try:
        user = msgspec.json.decode(row, type=_Shaped)
    except UNREADABLE:
        return ""
    return "1.2" if user.roles is not None else "1.1" if user.role is not None else ""


def _is_gone(row: msgspec.Raw) -> bool:
    try:
        return is_deleted(msgspec.json.decode(row, type=Record))
    except UNREADABLE:
        return False


def _whole(why: str) -> Finding:
    return Finding(True, f"{why}: everything is pulled each time.", propose={"changes": "no"})
