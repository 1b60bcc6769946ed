"""What of /v1 will be removed, announced at least six months ahead, in the headers of every answer that uses it."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime

AHEAD = timedelta(days=182)


@dataclass(frozen=True)
class Removal:
    """A route that goes. `path` as the OpenAPI document has it; `page` tells what to use instead."""

    method: str
    path: str
    announced: date
    gone_on: date
    page: str

    def __post_init__(self) -> None:
        assert self.gone_on - self.announced >= AHEAD, "a removal is announced six months ahead"

    def meets(self, method: str, path: str) -> bool:
        shape = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(self.path))
        return method == self.method and re.fullmatch(shape, path) is not None


REMOVALS: list[Removal] = []
"""The one table of them. Nothing is to be removed."""


def headers(method: str, path: str) -> dict[str, str]:
    """What an answer of a route that goes says beside. # RFC 9745, RFC 8594"""
    for one in REMOVALS:
        if one.meets(method, path):
            return {
                "Deprecation": f"@{int(_at(one.announced).timestamp())}",
                "Sunset": format_datetime(_at(one.gone_on), usegmt=True),
                "Link": f'<{one.page}>; rel="deprecation"',
            }
    return {}


def _at(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
