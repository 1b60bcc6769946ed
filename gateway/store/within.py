"""What a record says of others: cut to those whom its reader has too."""

from collections import OrderedDict
from collections.abc import Collection as Several
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import text

from gateway.served import COLLECTIONS, Collection
from gateway.store.database import Transaction
from gateway.store.serving import Row
from gateway.vendors import Agreement

_LOOSE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BEYOND: OrderedDict[tuple[int, int, int], frozenset[str]] = OrderedDict()
"""(district, agreement, projection) -> the organizations that it does not reach."""
REMEMBERED = 200


async def cut(c: Transaction, agreement: Agreement, collection: str, rows: Sequence[Row]) -> list[Row]:
    """The rows without references to what the agreement does not reach, of collections that it names: a student's
    family, say, or the other schools of a district. Of those that it does not name an id is all that is told. What a
    record cannot be without stays."""
    one = COLLECTIONS[collection]
    loose = {
        column.path.partition(".")[0]: target for column, _, target in one.loose if target in agreement.collections
    }
    # Most rows name nothing but organizations, and most agreements reach all of these.
    beyond = await _organizations(c, agreement) if "orgs" in loose.values() else frozenset()
    if not beyond:
        loose = {name: target for name, target in loose.items() if target != "orgs"}
    said = {n: _stated(row, loose) for n, row in enumerate(rows) if row.document is not None and loose}
    named: dict[str, set[str]] = {}
    for stated in said.values():
        for name, value in stated.items():
            named.setdefault(loose[name], set()).update(_ids(value))
    kept = {target: await _reached(c, agreement, target, ids) for target, ids in named.items()}
    return [
        _without(row, one, {name: (value, kept[loose[name]]) for name, value in said.get(n, {}).items()})
        for n, row in enumerate(rows)
    ]


def _stated(row: Row, loose: Mapping[str, str]) -> dict[str, Any]:
    text = row.document or ""
    if not any(f'"{name}":' in text for name in loose):
        return {}
    whole = _LOOSE.decode(text)
    return {name: msgspec.json.decode(whole[name]) for name in loose if name in whole}


def _ids(value: Any) -> Iterator[str]:
    for link in value if isinstance(value, list) else [value]:
        yield link.get("org", link)["sourcedId"]


def _without(row: Row, collection: Collection, found: Mapping[str, tuple[Any, Several[str]]]) -> Row:
    cut = {name: value for name, (value, kept) in found.items() if not set(_ids(value)) <= set(kept)}
    if not cut:
        return row
    whole: dict[str, Any] = dict(_LOOSE.decode(row.document or ""))
    for name, value in cut.items():
        kept = found[name][1]
        left = [one for one in value if set(_ids([one])) <= set(kept)] if isinstance(value, list) else []
        if left:
            whole[name] = left
        elif not collection.fields[name].required:
            del whole[name]
    return row._replace(document=msgspec.json.encode(whole).decode())


async def _reached(c: Transaction, agreement: Agreement, collection: str, ids: Iterable[str]) -> frozenset[str]:
    rows = await c.execute(
        text(
            "SELECT sourced_id FROM reach WHERE agreement_id = :id AND collection = :collection AND visible "
            "AND sourced_id = ANY(CAST(:ids AS text[]))"
        ),
        {"id": agreement.id, "collection": collection, "ids": sorted(ids)},
    )
    return frozenset(rows.scalars())


async def _organizations(c: Transaction, agreement: Agreement) -> frozenset[str]:
    """Those that it does not reach. Whoever asks holds the projection still, so its number says what they are."""
    found = (await c.execute(text("SELECT district_id, number FROM projection"))).one()
    key = (found.district_id, agreement.id, found.number)
    if key not in _BEYOND:
        rows = await c.execute(
            text(
                "SELECT sourced_id FROM served_orgs o WHERE NOT gone AND NOT EXISTS (SELECT FROM reach r "
                "WHERE r.agreement_id = :id AND r.collection = 'orgs' AND r.sourced_id = o.sourced_id AND r.visible)"
            ),
            {"id": agreement.id},
        )
        _BEYOND[key] = frozenset(rows.scalars())
        while len(_BEYOND) > REMEMBERED:
            _BEYOND.popitem(last=False)
    return _BEYOND[key]
