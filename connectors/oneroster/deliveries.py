"""Which delivered packages make the roster: the newest, and where it holds changes only, those that it builds upon."""

import asyncio
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path

from connectors.oneroster.columns import COLUMNS
from connectors.oneroster.files import FileSource, key_of
from connectors.oneroster.models import RESOURCES
from gateway.connector import START, Finding, Page, Resource
from gateway.errors import ConfigError
from gateway.inbox import Item, Nothing, Parcel, PlaceSettings, newest


async def open_package(place: PlaceSettings) -> "FileSource | Deltas | Nothing":
    """What lies at a place, opened; where nothing is there yet, a source that says so."""
    parcel = await newest(place, marker="manifest.csv", whole=_says_everything)
    if not parcel.items:
        return Nothing(parcel, [RESOURCES[name] for name in COLUMNS])
    try:
        return await asyncio.to_thread(_opened, parcel)
    except BaseException:
        parcel.close()
        raise


def _says_everything(path: Path) -> bool:
    """Whether no file of the package is a delta. Of one that cannot be read nobody knows: it is told when it is
    opened."""
    try:
        package = FileSource(path)
    except ConfigError:
        return True
    package.shut()
    return "delta" not in package.manifest.modes.values()


def _opened(parcel: Parcel) -> "FileSource | Deltas":
    *before, last = parcel.items
    package = FileSource(last.path, parcel)
    if not before:
        return package
    packages: list[tuple[str, FileSource]] = [(last.name, package)]
    try:
        for item in reversed(before):
            packages.append((item.name, _earlier(item)))
    except BaseException:
        for _, opened in packages:
            opened.shut()
        raise
    return Deltas(packages[::-1])


def _earlier(item: Item) -> FileSource:
    try:
        return FileSource(item.path)
    except ConfigError as error:
        raise ConfigError(
            error.code,
            f"The newest package holds changes only, and {item.name} before it cannot be read: {error.message}",
            f"{error.fix} If {item.name} is not wanted, take it away; a bulk package makes up for it.",
        ) from error


class Deltas:
    """Packages that build upon each other, oldest first: of each collection, what the last bulk file of it says, and
    every delta since then. A record that stands in several of them is as the last one says.

    Each pull reads them from the beginning, so that a pull that was missed misses nothing. A cursor is that of one
    package, behind the package's mark.
    """

    pages_move = False

    def __init__(self, packages: Sequence[tuple[str, FileSource]]) -> None:
        self.resources: Sequence[Resource] = [RESOURCES[name] for name in COLUMNS]
        self._packages = packages
        self._keys: dict[tuple[str, str], Container[str]] = {}

    async def pull(self, resource: Resource, cursor: str) -> Page:
        read, whole = self._read(resource.name)
        if not read:
            return await self._packages[-1][1].pull(resource, START)
        mark, _, inner = cursor.partition("/")
        place = next((n for n, (_, package) in enumerate(read) if cursor == START or package.mark == mark), None)
        if place is None:
            raise ConfigError(
                "csv-package-changed",
                f"The package of which {resource.name}.csv was being read is not there any more.",
                "Pull again: what is there now is then read from its beginning.",
            )
        name, package = read[place]
        page = await package.pull(resource, inner)
        rows = await self._last_words(resource.name, read, place, page)
        following = [f"{mark or package.mark}/{one}" for one in page.next]
        if not following:
            following = [f"{later.mark}/" for _, later in read[place + 1 :][:1]]
        return replace(
            page,
            rows=[page.rows[n] for n in rows],
            next=tuple(following),
            partial=not whole,
            first_row=None,
            positions=[f"{name} {page.position(n)}" for n in rows],
            unreadable=[replace(bad, position=f"{name} {bad.position}") for bad in page.unreadable],
        )

    async def _last_words(
        self, collection: str, read: Sequence[tuple[str, FileSource]], place: int, page: Page
    ) -> list[int]:
        """The places of the rows of which no later package speaks: a key twice in one pull would look like pages that
        move."""
        for _, later in read[place + 1 :]:
            if (collection, later.mark) not in self._keys:
                self._keys[collection, later.mark] = await asyncio.to_thread(later.keys, collection)
        spoken_of = [self._keys[collection, later.mark] for _, later in read[place + 1 :]]
        if not spoken_of:
            return list(range(len(page.rows)))
        keys = [key_of(row) for row in page.rows]
        return [n for n, key in enumerate(keys) if not any(key in one for one in spoken_of)]

    def _read(self, collection: str) -> tuple[Sequence[tuple[str, FileSource]], bool]:
        """The packages that say something of a collection and count, and whether they say all of it."""
        said = [(name, package) for name, package in self._packages if package.mode(collection) != "absent"]
        bulk = [n for n, (_, package) in enumerate(said) if package.mode(collection) == "bulk"]
        return said[bulk[-1] if bulk else 0 :], bool(bulk)

    async def check(self) -> Sequence[Finding]:
        """What the newest holds, and which are read before it."""
        others = ", ".join(name for name, _ in self._packages[:-1])
        told = Finding(True, f"It holds changes only, so these are read before it, the oldest first: {others}.")
        first, *rest = await self._packages[-1][1].check()
        return [first, told, *rest]

    async def close(self) -> None:
        for _, package in self._packages:
            await package.close()
