"""Pictures of counts, drawn on the server: each says in words what it shows, and stands beside a table of the same."""

from collections.abc import Sequence
from itertools import count

from markupsafe import Markup

WIDTH, HEIGHT, EDGE = 240, 56, 4
ROW, LABEL, LONGEST = 26, 130, 300
_NUMBERS = count(1)


def line(values: Sequence[float], title: str, says: str) -> Markup:
    """How something went over time, from the oldest to the newest: a line over its area, from nought upwards."""
    most = max(values, default=0) or 1
    step = (WIDTH - 2 * EDGE) / max(len(values) - 1, 1)
    points = [(EDGE + n * step, HEIGHT - EDGE - value / most * (HEIGHT - 2 * EDGE)) for n, value in enumerate(values)]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    ground = HEIGHT - EDGE
    area = f"{points[0][0]:.1f},{ground} {drawn} {points[-1][0]:.1f},{ground}" if points else ""
    last = points[-1] if points else (EDGE, ground)
    return _picture(
        WIDTH, HEIGHT, "line", title, says,
        Markup('<polygon class="area" points="{}"/><polyline class="stroke" points="{}"/>').format(area, drawn)
        + Markup('<circle class="last" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(*last),
    )  # fmt: skip


def bars(rows: Sequence[tuple[str, int, str]], title: str, says: str) -> Markup:
    """How many there are of each: label, number, and the class that colours the bar."""
    most = max((n for _, n, _ in rows), default=0) or 1
    drawn = Markup("")
    for place, (label, n, kind) in enumerate(rows):
        top = place * ROW
        wide = max(n / most * LONGEST, 1.0 if n else 0.0)
        drawn += Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LABEL - 8, top + 18, label)
        drawn += Markup('<rect class="{}" x="{}" y="{}" width="{:.1f}" height="{}" rx="2"/>').format(
            kind, LABEL, top + 4, wide, ROW - 8
        )
        drawn += Markup('<text x="{:.1f}" y="{}">{}</text>').format(LABEL + wide + 6, top + 18, n)
    return _picture(LABEL + LONGEST + 70, max(len(rows), 1) * ROW, "bars", title, says, drawn)


def _picture(width: int, height: int, kind: str, title: str, says: str, inner: Markup) -> Markup:
    """The picture is one thing to whoever hears the page: its title, then what it shows."""
    name = f"picture-{next(_NUMBERS)}"
    return Markup(
        '<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-title {name}-desc">'
        '<title id="{name}-title">{title}</title><desc id="{name}-desc">{says}</desc>{inner}</svg>'
    ).format(kind=kind, width=width, height=height, name=name, title=title, says=says, inner=inner)
