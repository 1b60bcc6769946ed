"""From the rows of a page to what is staged: decoded, mapped; a bad one is set aside and costs no other."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from gateway.codes import Codes
from gateway.connector import Notice, Page, Resource
from gateway.errors import RecordError
from gateway.lenient import empties, mended
from gateway.mapping import Alias, Claim, Missed
from gateway.payload import UNREADABLE, Edge
from gateway.store import runs
from gateway.store.database import Store
from gateway.store.leniencies import SHOWN
from gateway.store.runs import Attempt, Reject, StagedPage, StagedRow


async def stage(
    store: Store, attempt: Attempt, resource: Resource, codes: Codes, at_the_edge: Edge, cursor: str, page: Page
) -> None:
    """Decode, map and write one page; what was published already is not mapped again."""
    decoded = decode(resource, page, at_the_edge)
    async with store.transaction(attempt.district) as c:
        hashes = [(row.key, row.hash) for row in decoded.rows]
        mapped = map_rows(resource, codes, decoded, await runs.differing(c, attempt, resource.name, hashes))
        await runs.stage(
            store,
            c,
            attempt,
            StagedPage(
                collection=resource.name,
                cursor=cursor,
                next=page.next,
                # Of one key the last word counts: a row that is served is there, whatever was said before.
                rows=[*_moved(page), *mapped.rows],
                received=len(page.rows) + len(page.unreadable),
                rejects=[*decoded.rejects, *mapped.rejects],
                total=page.total,
                absent=page.absent,
                partial=page.partial,
                unkeyed=len(decoded.rejects),
                unmapped=[(table, code, n) for (table, code), n in mapped.unmapped.items()],
                leniencies=leniencies([*page.notices, *mapped.notices]),
            ),
        )


def _moved(page: Page) -> Iterator[StagedRow]:
    """What the page says of keys alone: which became others, and which are gone."""
    gone = set(page.gone)
    yield from (StagedRow(old, "same", new) for old, new in page.renamed.items() if old not in gone)
    yield from (StagedRow(key, "gone", page.renamed.get(key)) for key in page.gone)


class Row(msgspec.Struct, frozen=True, gc=False):
    """One decoded row: the wire record, what is kept of it, the hash of what counts as a change, what had to be mended
    before it could be decoded."""

    wire: Any
    key: str
    position: str
    kept: bytes
    hash: str
    mended: Sequence[Notice] = ()


@dataclass(frozen=True)
class Decoded:
    rows: Sequence[Row]
    rejects: Sequence[Reject]


def decode(resource: Resource, page: Page, at_the_edge: Edge) -> Decoded:
    """Each row by itself, so that a bad one is set aside with its bytes and costs no other."""
    rows: list[Row] = []
    rejects = [
        # No fields, no drop list: such a row's bytes may hold anything, so only its place is kept.
        Reject(bad.code, bad.reason, position=bad.position)
        for bad in page.unreadable
    ]
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(resource.wire)
    for n, raw in enumerate(page.rows):
        position = page.position(n)
        try:
            kept, hash = at_the_edge(raw)
            found: Sequence[Notice] = ()
            try:
                wire = decoder.decode(kept)  # what is dropped is not mapped either, now or at a replay
            except msgspec.ValidationError:
                if not resource.lenient:
                    raise
                raw, found = mended(raw, resource.wire)
                kept, hash = at_the_edge(raw)  # once more: what it drops may stand elsewhere now
                wire = decoder.decode(kept)
            rows.append(Row(wire, resource.key(wire), position, kept, hash, found))
        except (*UNREADABLE, RecordError) as error:
            rejects.append(_unreadable(error, position, _kept(raw, at_the_edge)))
    return Decoded(rows, rejects)


def _kept(raw: msgspec.Raw | bytes, at_the_edge: Edge) -> bytes | None:
    """What may be kept of a row that is set aside: what the edge lets through; nothing where it cannot tell."""
    try:
        return at_the_edge(raw)[0]
    except (*UNREADABLE, RecordError):
        return None


def _unreadable(error: Exception, position: str, kept: bytes | None) -> Reject:
    body = None if kept is None else kept.decode()
    match error:
        case RecordError():
            return Reject(error.code, error.message, position=position, field=error.field, body=body)
        case UnicodeDecodeError():  # its own words quote the row
            reason, path = "It has bytes that are not UTF-8", ""
        case RecursionError():
            reason, path = "It is nested deeper than any record", ""
        case _:
            reason, _, path = str(error).partition(" - at `$.")
    return Reject("unreadable-record", reason, position=position, field=path.rstrip("`"), body=body)


@dataclass(frozen=True)
class MappedRows:
    rows: Sequence[StagedRow]
    rejects: Sequence[Reject]
    unmapped: Counter[tuple[str, str]]
    notices: Sequence[Notice] = ()


def map_rows(resource: Resource, codes: Codes, decoded: Decoded, differing: Container[int]) -> MappedRows:
    """Claims of the rows at the places that differ from what is published; a row that cannot be mapped keeps what
    was."""
    tables = codes.crosswalks.fresh()
    reading = codes.reading(resource)
    encode = msgspec.json.Encoder().encode
    rows: list[StagedRow] = []
    rejects: list[Reject] = []
    notices: list[Notice] = []
    for place, row in enumerate(decoded.rows):
        if resource.inactive is not None and resource.inactive(row.wire):
            rows.append(StagedRow(row.key, "gone"))
        elif place not in differing:
            rows.append(StagedRow(row.key, "same"))
        else:
            tables.missed.clear()
            tables.noticed.clear()
            try:
                stated = reading(row.wire, row.kept, tables)
                claims = msgspec.Raw(encode([_compact(claim) for claim in stated]))
                rows.append(StagedRow(row.key, "put", row.hash, msgspec.Raw(row.kept), claims, _once(tables.missed)))
                notices += _read_leniently(resource, row, tables.noticed)
            except RecordError as error:
                rows.append(StagedRow(row.key, "same"))
                reject = Reject(error.code, error.message, row.key, row.position, error.field, row.kept.decode())
                rejects.append(msgspec.structs.replace(reject, unmapped=_once(tables.missed)))
    return MappedRows(rows, rejects, tables.unmapped, notices)


def _read_leniently(resource: Resource, row: Row, noticed: Sequence[tuple[str, str]]) -> Iterator[Notice]:
    for code, field in dict.fromkeys(noticed):
        yield Notice(code, field, row.key)
    if resource.lenient:
        yield from (replace(one, example=row.key) for one in row.mended)
        yield from empties(row.kept, row.key)


def _once(missed: Sequence[Missed]) -> tuple[Missed, ...]:
    return tuple(dict.fromkeys(missed)) if missed else ()


def leniencies(notices: Iterable[Notice]) -> list[tuple[str, str, int, list[str]]]:
    """The notices of a page, counted by code and field, with a few examples of each."""
    times: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], list[str]] = {}
    for notice in notices:
        of = notice.code, notice.field
        times[of] += notice.count
        shown = examples.setdefault(of, [])
        if notice.example and len(shown) < SHOWN and notice.example not in shown:
            shown.append(notice.example)
    return [(code, field, n, examples[code, field]) for (code, field), n in times.items()]


def _compact(statement: Claim | Alias) -> tuple[Any, ...]:
    if isinstance(statement, Alias):
        return statement.kind, statement.key, statement.same_as, False, 0, None
    return statement.kind, statement.key, None, statement.anchor, statement.rank, statement.values
