"""Whether an Ed-Fi server is read as it is or as its snapshot has it, and which header says so."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from connectors.edfi.server import Server
from gateway.errors import ConfigError, Unavailable
from gateway.http import Http

Wanted = Literal["auto", "always", "never"]
"""`auto`: where its age is told, and it is young; and not for what changed, where it is no newer than what is known."""

Header = Mapping[str, str]
"""What every request has from the first to the last, so that all of them see the same."""

LIVE: Header = {}

_YOUNG = timedelta(days=1)


async def offered(server: Server, wanted: Wanted, http: Http) -> Header:
    """The header of the snapshot to be read; LIVE where none is to be. ConfigError where one is asked for that this
    server cannot have, Unavailable where it has none now.

    Whether the one of a server from 7.0 on is there tells the first request with the header.
    """
    if wanted == "never":
        return LIVE
    if not server.changes_url or server.version < (5, 3) or server.version >= (8,):
        if wanted == "always":
            raise ConfigError(
                "edfi-no-snapshots",
                f"{server.title} has no snapshots.",
                "Set `snapshot` of this connection to auto: the server is then read as it is.",
            )
        return LIVE
    if server.version >= (7,):
        # How old it is is told nowhere: one that was forgotten would take the district back to when it was made.
        return {"Use-Snapshot": "true"} if wanted == "always" else LIVE
    found = await _listed(server, http)
    if wanted == "auto":
        found = [one for one in found if one.age < _YOUNG]
    if found:
        return {"Snapshot-Identifier": min(found, key=lambda one: one.age).snapshotIdentifier}
    if wanted == "always":
        raise gone()
    return LIVE


def gone() -> Unavailable:
    """The snapshot that was to be read is not there, or not there any more."""
    return Unavailable(
        "edfi-snapshot-gone",
        "The server's snapshot is not there. The next pull begins anew; where its host makes none, set `snapshot` of"
        " this connection to auto.",
    )


class _Snapshot(msgspec.Struct):
    """# Ed-Fi: GET /changeQueries/v1/snapshots, up to 6.2"""

    snapshotIdentifier: str
    snapshotDateTime: datetime

    @property
    def age(self) -> timedelta:
        made = self.snapshotDateTime
        return datetime.now(UTC) - (made if made.tzinfo else made.replace(tzinfo=UTC))


async def _listed(server: Server, http: Http) -> Sequence[_Snapshot]:
    reply = await http.get(f"{server.changes_url}/snapshots")
    if reply.status != 200:
        return ()
    try:
        return msgspec.json.decode(reply.body, type=list[_Snapshot])
    except msgspec.DecodeError:
        return ()
