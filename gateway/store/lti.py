"""The courses of an LTI platform, as launches told of them: where each has its gradebook and its list of members."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.mapping import Place

REFRESHED = timedelta(hours=1)
"""A launch that tells nothing new is noted this much later again: a class that opens the tool at once is one write."""


async def note_context(
    c: AsyncConnection,
    district: int,
    connection: int,
    *,
    deployment: str,
    context: str,
    title: str = "",
    line_items: str = "",
    memberships: str = "",
) -> None:
    """Keep what a launch told of its course (claims `context`, `endpoint`, `namesroleservice`), in the transaction of
    the launch; call it only with what a checked launch said, and with https addresses. The
    newest launch counts: a service that it does not offer is not asked any more."""
    await c.execute(
        text(
            "INSERT INTO lti_context "
            "(district_id, connection_id, deployment, context, title, line_items, memberships) "
            "VALUES (:district, :connection, :deployment, :context, :title, :line_items, :memberships) "
            "ON CONFLICT (connection_id, deployment, context) DO UPDATE SET title = excluded.title, "
            "line_items = excluded.line_items, memberships = excluded.memberships, "
            "last_at = now() "
            "WHERE (lti_context.title, lti_context.line_items, lti_context.memberships) "
            "IS DISTINCT FROM (excluded.title, excluded.line_items, excluded.memberships) "
            "OR lti_context.last_at < now() - :refreshed"
        ),
        {
            "district": district,
            "connection": connection,
            "deployment": deployment,
            "context": context,
            "title": title[:255],
            "line_items": line_items,
            "memberships": memberships,
            "refreshed": REFRESHED,
        },
    )


async def places(c: AsyncConnection, connection: int) -> tuple[Place, ...]:
    """The courses of a platform that launches told of, by their ids there; of a course in several deployments the one
    that was opened last. None for a connection to anything else."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT ON (context) context, title, line_items, memberships FROM lti_context "
            "WHERE connection_id = :connection ORDER BY context, last_at DESC, deployment"
        ),
        {"connection": connection},
    )
    return tuple(
        Place(row.context, "lti", {name: getattr(row, name) for name in ("title", "line_items", "memberships")})
        for row in rows
    )
