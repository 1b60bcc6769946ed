"""Whether what stands at a destination is what was sent."""

from datetime import UTC, datetime
from typing import Any


def holds(there: Any, sent: Any) -> bool:
    """Whether all that was sent is there: in whatever order, beside whatever else, in another spelling of the same."""
    if isinstance(sent, dict):
        return isinstance(there, dict) and all(
            part is None or holds(there.get(name), part) for name, part in sent.items()
        )
    if isinstance(sent, list):
        left = list(there) if isinstance(there, list) else []
        for part in sent:
            place = next((n for n, one in enumerate(left) if holds(one, part)), None)
            if place is None:
                return False
            del left[place]
        return True
    if isinstance(sent, bool) or isinstance(there, bool):
        return bool(there is sent)
    return there == sent or (there is not None and _plain(there) == _plain(sent))


def _plain(value: Any) -> object:
    """Servers give codes back in another case, and times in another zone or with more digits."""
    text = str(value).strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text.casefold()
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
