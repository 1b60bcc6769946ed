"""An Ed-Fi server that takes what is written, too, and costs next to nothing: what it keeps is a dictionary."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import msgspec

from bench.servers import Answer, Edfi, Request, run
from connectors.edfi.sink import WRITTEN as KEYS
from connectors.edfi.twin.ods import Ods
from connectors.edfi.twin.planted import Planted
from connectors.edfi.twin.release import Release
from connectors.edfi.twin.specification import Specification
from synthetic import District

WRITTEN = ("programs", "studentProgramAssociations")
_DATA = "/data/v3/ed-fi/"
_DOCUMENT = "openapi.json"

Row = dict[str, Any]


def describe(folder: Path, district: District) -> None:
    """Keep beside the rows in `folder` the OpenAPI document of them and of what is written, as the twin makes it."""
    release = Release("5.0")
    ods = Ods(district, release, namespace="uri://bench.example.org", planted=Planted(), programs=True)
    names = [*(path.stem for path in sorted(folder.glob("*.jsonl"))), *WRITTEN]
    there = {name: ods.collections[name] for name in names}
    document = Specification(release, there, ods.shapes, page_limit=500).document("resources", "http://here/data/v3")
    (folder / _DOCUMENT).write_text(json.dumps(document), encoding="utf-8")


class Written:
    """One collection of what was written. # Ed-Fi: a POST inserts, or replaces what has its natural key."""

    def __init__(self, places: Mapping[str, Sequence[str]]) -> None:
        self._places = places
        self._rows: dict[tuple[str, ...], Row] = {}

    def put(self, body: Row) -> tuple[int, Row]:
        """201 or 200, and the row as it is kept. KeyError where a part of the key is missing."""
        key = tuple(_at(body, path) for path in self._places.values())
        before = self._rows.get(key)
        id, version = (before["id"], int(before["_etag"]) + 1) if before else (f"{len(self._rows) + 1:032x}", 1)
        row = self._rows[key] = {"id": id, **body, "_etag": str(version)}
        return 200 if before else 201, row

    def found(self, query: Mapping[str, str]) -> list[Row]:
        """Rows with these parts of the key; what is no part of it is no filter."""
        asked = {name: value for name, value in query.items() if name in self._places}
        if len(asked) == len(self._places):
            row = self._rows.get(tuple(asked[name] for name in self._places))
            return [row] if row else []
        return [row for row in self._rows.values() if all(_at(row, self._places[n]) == v for n, v in asked.items())]

    def rows(self) -> Iterator[Row]:
        """All of it, as it was written."""
        for row in self._rows.values():
            yield {name: value for name, value in row.items() if name not in ("id", "_etag")}


def _at(row: Row, path: Sequence[str]) -> str:
    return str(reduce(lambda part, name: part[name], path, row))


class Taking(Edfi):
    """Rows that lie in files, and programs with their students as they are written. Every descriptor is there."""

    def __init__(self, folder: Path, *, page_cap: int) -> None:
        super().__init__(folder, page_cap=page_cap)
        self._document = (folder / _DOCUMENT).read_bytes()
        self._written = {name: Written(KEYS[name]) for name in WRITTEN}

    def answer(self, request: Request) -> Answer:
        if request.path == "/_forget":
            self._written = {name: Written(KEYS[name]) for name in WRITTEN}
            return Answer(200, b"{}")
        if request.path.startswith("/_written/"):
            rows = self._written[request.path.removeprefix("/_written/")].rows()
            return Answer(200, b"\n".join(map(msgspec.json.encode, rows)))
        return super().answer(request)

    def described(self, request: Request) -> Answer | None:
        match request.path:
            case "/metadata/Resources":
                return Answer(200, self._document)
            case "/metadata/data/v3/dependencies":
                names = [*self._rows, *WRITTEN]
                listed = [
                    {"resource": f"/ed-fi/{name}", "order": n, "operations": ["Create", "Update"]}
                    for n, name in enumerate(names)
                ]
                return Answer(200, msgspec.json.encode(listed))
        return super().described(request)

    def other(self, request: Request) -> Answer | None:
        name = request.path.removeprefix(_DATA)
        if name.endswith("Descriptors"):
            asked = {part: request.query.get(part, "") for part in ("namespace", "codeValue")}
            return Answer(200, msgspec.json.encode([asked]))
        written = self._written.get(name)
        if written is None:
            return None
        self.asked[f"{request.method} {name}"] += 1
        if request.method == "POST":
            status, row = written.put(msgspec.json.decode(request.body))
            place = f"{request.address}{_DATA}{name}/{row['id']}"
            return Answer(status, b"", {"Location": place, "ETag": f'"{row["_etag"]}"'})
        found = written.found(request.query)
        first, size = request.number("offset", 0), request.number("limit", 25)
        counted = request.query.get("totalCount", "").casefold() == "true"
        headers = {"Total-Count": str(len(found))} if counted else {}
        return Answer(200, msgspec.json.encode(found[first : first + size]), headers)


if __name__ == "__main__":
    asyncio.run(run({"edfi": Taking}))
