"""A plan in short as a tagged PDF: what a delivery profile lets through, a student's number, and no name."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.mapping import Parties
from gateway.printing.content import original
from gateway.printing.pdf import pdf
from gateway.printing.sheet import Block, Bullets, Heading, Line, Paper, Paragraph, Sheet, Span, Terms, plain
from gateway.printing.words import Words, words
from gateway.schema.plan import Plan
from gateway.summary import Item, Part, PlanProfile, Summary, summarize


def short(plan: Plan, people: Parties, profile: PlanProfile, at: datetime) -> bytes:
    """The file. `at` stands in it as the moment it was made. A profile may choose the size of its `paper`.

    Refused where a character has no picture in any font, those in the folder PLANBRIDGE_PRINT_FONTS among them.
    """
    summary, _ = summarize(plan, profile, people.roles, id=people.plan, link=people.link)
    paper: Paper = getattr(profile, "paper", "letter")
    fonts = os.environ.get("PLANBRIDGE_PRINT_FONTS")
    sheet = _sheet(summary, people, original(plan), words("en"))
    return pdf(sheet, paper, at.astimezone(UTC).replace(microsecond=0), Path(fonts) if fonts else None)


def _sheet(summary: Summary, people: Parties, written_in: str, say: Words) -> Sheet:
    foreign = "" if written_in == say.tag else written_in
    blocks = tuple(_blocks(summary, people, foreign, say))
    return Sheet(say.tag, say.direction, plain(summary.title), "", say.file["text"]["page"], (), blocks)


def _blocks(summary: Summary, people: Parties, foreign: str, say: Words) -> Iterator[Block]:
    yield Heading(1, (Span(plain(summary.title)),))
    facts: list[tuple[Line, tuple[Line, ...]]] = [
        (say.line("of.student"), ((Span(plain(people.student), name=True),),))
    ]
    if people.finalized_on:
        version = say.line("version", version=str(people.version), day=say.date(people.finalized_on))
        facts.append((say.line("of.version"), (version,)))
    yield Terms(tuple(facts))
    for part in summary.sections:
        yield Heading(2, (Span(part.heading),))
        yield from _part(part, foreign)
    yield Heading(2, say.line("section.next"))
    if summary.review_on:
        yield Paragraph(say.line("next.review", day=say.date(summary.review_on)))
    yield Paragraph(say.line("short.link", link=Span(summary.link, name=True)))


def _part(part: Part, foreign: str) -> Iterator[Block]:
    if not any(item.details for item in part.items):
        yield Bullets(tuple(_line(item, foreign) for item in part.items))
        return
    for item in part.items:
        yield Heading(3, _line(item, foreign))
        if item.details:
            yield Terms(tuple(((Span(label),), ((Span(plain(value), foreign),),)) for label, value in item.details))


def _line(item: Item, foreign: str) -> Line:
    return (Span(plain(item.text), foreign),)
