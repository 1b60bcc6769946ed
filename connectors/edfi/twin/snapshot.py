"""The snapshot that a server's host has made: all collections as they stood then, and how a request asks for it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count

from connectors.edfi.twin import refusals
from connectors.edfi.twin.collection import Collection
from connectors.edfi.twin.ods import Ods
from connectors.edfi.twin.release import Release


class Snapshot:
    """The one snapshot that there is, or none. One that is made takes the place of the one before it."""

    def __init__(self, ods: Ods, release: Release) -> None:
        self._ods = ods
        self._release = release
        self._numbers = count(1)
        self._collections: Mapping[str, Collection] = {}
        self._newest = 0
        self._name = ""
        self._made = datetime.now(UTC)
        if release.snapshots:
            self.make()

    def make(self) -> None:
        self._collections = {name: collection.frozen() for name, collection in self._ods.collections.items()}
        self._newest = self._ods.changes.newest
        self._name = f"snapshot-{next(self._numbers)}"
        self._made = datetime.now(UTC)

    def listed(self) -> list[dict[str, str]]:
        """# Ed-Fi: GET /changeQueries/v1/snapshots, up to 6.2"""
        if not self._name:
            return []
        return [{"id": self._name, "snapshotIdentifier": self._name, "snapshotDateTime": self._made.isoformat()}]

    def asked_for(self, headers: Mapping[str, str], method: str = "GET") -> bool:
        """Whether the request is for the snapshot. Raises Refusal where it is not there, or cannot be written."""
        name = self._release.snapshot_header
        wanted = headers.get(name, "") if name else ""
        if not wanted or (name == "use-snapshot" and wanted.lower() != "true"):
            return False
        if method != "GET":
            raise refusals.snapshot_is_read_only()
        if name == "snapshot-identifier" and wanted != self._name:
            raise refusals.snapshot_gone()
        if not self._name:
            raise refusals.no_snapshot()
        return True

    def of(self, collection: Collection) -> Collection:
        return self._collections[collection.name]

    @property
    def newest(self) -> int:
        """Its change version."""
        return self._newest
