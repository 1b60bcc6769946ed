"""A server that holds given rows and nothing else, as a vendor's or a state's with students and results only."""

from collections.abc import Mapping, Sequence

from connectors.edfi.twin.collection import Key, Row, Source
from connectors.edfi.twin.keys import natural_key

Given = Mapping[str, Sequence[Row]]
"""Resource -> its rows as they are served, without id, _etag and dates."""


def sources(given: Given, *, five: bool) -> dict[str, Source]:
    """What fills the collections. Rows that share a natural key are one item: the last one stands, as after upserts."""

    def source(name: str, rows: Sequence[Row]) -> Source:
        names = natural_key(name, five=five)
        return Source(rows, lambda row: _key(names, row), lambda row: row)

    return {name: source(name, rows) for name, rows in given.items()}


def _key(names: Sequence[str], row: Row) -> Key:
    flat = dict(row)
    for value in row.values():
        if isinstance(value, dict):
            flat |= value
    return tuple(flat[name] for name in names)
