"""Ids as the Ed-Fi API writes them: UUIDs with dashes, in rows, tombstones and links."""

from typing import Any

_CUTS = (8, 12, 16, 20)


def with_dashes(identifier: str) -> str:
    """32 hex digits as a UUID."""
    parts = (identifier[start:end] for start, end in zip((0, *_CUTS), (*_CUTS, None), strict=True))
    return "-".join(parts)


def dashed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its id and the addresses of its links so."""
    return {name: with_dashes(value) if name == "id" else _linked(value) for name, value in row.items()}


def _linked(value: Any) -> Any:
    if isinstance(value, list):
        return [_linked(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "href" in value and "rel" in value:
        path, _, identifier = value["href"].rpartition("/")
        return {**value, "href": f"{path}/{with_dashes(identifier)}"}
    return {name: _linked(part) for name, part in value.items()}
