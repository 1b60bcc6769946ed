"""A plan in short as HTML that Moodle's cleaner leaves as it is: anything else it refuses as a whole."""

from collections.abc import Iterator
from urllib.parse import quote

from gateway.summary import Item, Part, Summary

LONGEST_NAME = 100
_HEADINGS = {"strengths": "Strength", "interests": "Interest", "needs": "Need", "goals": "Goal", "supports": "Support"}


def described(summary: Summary) -> str:
    """The description of a learning plan. The marker stands in the title of the doorway's link.

    # Moodle 4.5: only elements, attributes and entities that cleaning leaves alone; no space around the whole
    """
    return "".join(_blocks(summary))


def named(title: str) -> tuple[str, bool]:
    """The name of a learning plan, and whether it had to be cut. What begins like an element would be refused."""
    name = plain(title).replace("<", "\u2039").replace(">", "\u203a")
    if len(name) <= LONGEST_NAME:
        return name, False
    return f"{name[: LONGEST_NAME - 1].rstrip()}\u2026", True


def plain(text: str) -> str:
    """The text in one line, without what is no character of HTML."""
    return " ".join("".join(one for one in text if one.isspace() or _is_character(one)).split())


def _is_character(one: str) -> bool:
    """# HTML 4: no controls but white space, no surrogate without the other half, nothing that is no character"""
    n = ord(one)
    return 0x20 <= n <= 0x7E or 0xA0 <= n <= 0xD7FF or 0xE000 <= n <= 0xFFFD or (n > 0xFFFF and n & 0xFFFE != 0xFFFE)


def _blocks(summary: Summary) -> Iterator[str]:
    for part in summary.sections:
        yield f"<h3>{_escaped(part.heading)}</h3>"
        yield _table(part) if any(item.details for item in part.items) else _list(part)
    if summary.review_on:
        yield f"<p><strong>Next review:</strong> {summary.review_on.isoformat()}</p>"
    yield f'<p><a href="{_address(summary.link)}" title="{_address(summary.marker)}">Open the plan</a></p>'


def _list(part: Part) -> str:
    return f"<ul>{''.join(f'<li>{_escaped(item.text)}</li>' for item in part.items)}</ul>"


def _table(part: Part) -> str:
    """A row for each item, a column for each label, in the order in which they first come."""
    labels = list(dict.fromkeys(label for item in part.items for label, _ in item.details))
    head = "".join(f'<th scope="col">{_escaped(one)}</th>' for one in (_HEADINGS[part.kind], *labels))
    rows = "".join(f"<tr>{''.join(_cells(item, labels))}</tr>" for item in part.items)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(item: Item, labels: list[str]) -> Iterator[str]:
    yield f"<td>{_escaped(item.text)}</td>"
    for label in labels:
        yield f"<td>{'<br />'.join(_escaped(value) for one, value in item.details if one == label)}</td>"


def _escaped(text: str) -> str:
    return plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _address(text: str) -> str:
    """As it stands in an attribute: nothing in it needs an entity."""
    return quote(plain(text), safe=":/?#[]@!$()*+,;=%-._~")
