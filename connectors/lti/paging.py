"""Pages of a list at a platform, to the last one, in whatever spelling it says where the next one is."""

import html
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from gateway.errors import ConfigError
from gateway.http import Http, Reply, same_origin

MOST = 1000
"""Pages of one list: a platform that never comes to an end is left."""
# RFC 8288, and Moodle 4.5.6: curly quotes around the relation, and addresses escaped as if they stood in a web page.
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
# What stands around the word may be bytes of UTF-8 read as Latin-1, some of which are letters.
_NEXT = re.compile(r";\s*rel\s*=[^;]*(?<![a-z-])next(?![a-z-])", re.IGNORECASE)


async def pages(http: Http, url: str, params: Mapping[str, str], accept: str) -> AsyncIterator[Reply]:
    """Each page, up to the first that is not answered by 200. ConfigError `left-origin` where the next one is said to
    lie elsewhere: the token would go there."""
    reply = await http.get(url, params, {"accept": accept})
    seen = {reply.url}
    yield reply
    while reply.status == 200 and (there := following(reply)) is not None:
        if there in seen or len(seen) >= MOST:
            raise ConfigError(
                "pages-without-end",
                f"{reply.name} leads from page to page without an end.",
                "Tell whoever runs this system: its links to the next page lead back.",
            )
        seen.add(there)
        reply = await http.get(there, None, {"accept": accept})
        yield reply


def following(reply: Reply) -> str | None:
    """Where the next page is; None on the last one."""
    for address, parameters in _LINK.findall(reply.headers.get("link", "")):
        if _NEXT.search(parameters):
            return same_origin(reply.url, html.unescape(address))
    return None


def listed(reply: Reply, name: str = "") -> list[dict[str, Any]]:
    """The objects of a page: of the list that it is, or has under that name."""
    body = reply.json()
    rows = body.get(name) if name and isinstance(body, dict) else body
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
