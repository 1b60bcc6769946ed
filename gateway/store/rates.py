"""How often somebody asked lately, counted over all processes; under a keyed hash, so that no address is kept."""

import hmac

from sqlalchemy import text

from gateway.store.database import Store

SECONDS = 60
"""One window."""


async def count(store: Store, subject: str, most: int, times: int = 1) -> int | None:
    """Count another `times` of this subject: the seconds it should wait where that is more than `most` in its window,
    else None. With `times` 0 it is only looked whether `most` was reached."""
    name, key = next(iter(store.secrets.derived("rates").items()))
    values = {
        "subject": f"{name}/{hmac.new(key, subject.encode(), 'sha256').hexdigest()[:32]}",
        "times": times,
        "window": SECONDS,
    }
    async with store.transaction() as c:
        row = (await c.execute(text(_COUNT if times else _LOOK), values)).one_or_none()
    if row is None or row.times + (0 if times else 1) <= most:
        return None
    return max(1, int(row.left))


_LEFT = "ceil(extract(epoch FROM began + make_interval(secs => :window) - now())) AS left"
_COUNT = f"""
    INSERT INTO token_rate AS r (subject, times) VALUES (:subject, :times)
    ON CONFLICT (subject) DO UPDATE SET
        times = CASE WHEN r.began <= now() - make_interval(secs => :window) THEN :times ELSE r.times + :times END,
        began = CASE WHEN r.began <= now() - make_interval(secs => :window) THEN now() ELSE r.began END
    RETURNING times, {_LEFT}
"""
_LOOK = (
    f"SELECT times, {_LEFT}, CAST(:times AS int) FROM token_rate WHERE subject = :subject "
    "AND began > now() - make_interval(secs => :window)"
)
