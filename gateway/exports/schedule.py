"""The public page that says how long what is kept, generated from the rules that are in force."""

from dataclasses import dataclass
from html import escape

from gateway.settings import Settings
from gateway.store.retention import LOG_FILES, PLANS, RULES, Rule

TITLE = "How long we keep what"
INTRODUCTION = (
    "Planbridge moves rosters and results of students between the systems of this school district, and keeps their "
    "success plans. This page says what it keeps, for how long, and why. It is generated from the rules in force."
)
HOLD = (
    "While a court or an inquiry needs a student's plans and record, a legal hold keeps them, whatever this page says; "
    "nothing of that student is purged until it is lifted."
)


@dataclass(frozen=True)
class Said:
    """A rule in public words: from when its time counts, what happens then, on what it rests."""

    what: str
    trigger: str
    action: str
    basis: str


_LITTLE = "Kept no longer than the purpose needs."
_BACK = "Kept so that a wrong change can be taken back."
PUBLIC = {
    "payloads": Said("Records as other systems sent them", "the day they came", "removed", _LITTLE),
    "payloads of replaced records": Said("Such records, once replaced", "the day they came", "removed", _LITTLE),
    "launches that may not come twice": Said("Hashes of launches by a platform", "their end", "removed", _LITTLE),
    "logins that nobody finished": Said("Launches that nobody finished", "ten minutes after", "removed", _LITTLE),
    "pages in a platform that are over": Said("Pages that were open in a platform", "their end", "removed", _LITTLE),
    "payloads of held runs": Said("Such records that wait for a decision", "the day they came", "removed", _LITTLE),
    "payloads of what was set aside": Said("Records that could not be read", "the day they came", "removed", _LITTLE),
    "codes of what was set aside": Said("Codes that nobody knew", "the day they came", "removed", _LITTLE),
    "rows of finished runs": Said("Working copies of a pull", "its end", "removed", _LITTLE),
    "previews of finished runs": Said("Previews of what a pull would change", "its end", "removed", _LITTLE),
    "replaced records": Said("Earlier states of records", "the day they were replaced", "removed", _BACK),
    "replaced claims": Said("Earlier statements of sources", "the day they were replaced", "removed", _BACK),
    "replaced links": Said("Earlier links between systems", "the day they were replaced", "removed", _BACK),
    "what entities were before": Said("Earlier states of people, classes and results", "the change", "removed", _BACK),
    "why entities ended": Said("Why something ended with a year change", "the change", "removed", _BACK),
    "what was set aside": Said("Which records could not be read", "the run", "removed", _LITTLE),
    "what was read leniently": Said("Which spellings were read leniently", "the run", "removed", _LITTLE),
    "reports of data quality": Said("Reports about the quality of the data", "the run", "removed", _LITTLE),
    "notices": Said("Notices to staff", "the day they were sent", "removed", _LITTLE),
    "expired tokens": Said("Access of programs that ended", "its end", "removed", _LITTLE),
    "what programs may not send twice": Said("Hashes of what programs signed", "its end", "removed", _LITTLE),
    "counts of requests for tokens": Said("How often programs asked for access", "the hour", "removed", _LITTLE),
    "answers to requests that may be repeated": Said(
        "What a program was answered, should it ask the same again", "a week after it asked", "removed", _LITTLE
    ),
    "how far programs walked": Said("How many pages a program asked for in a day", "the day", "removed", _LITTLE),
    "attempts to send events": Said("When programs were told of an event", "the attempt", "removed", _LITTLE),
    "events that could not be sent": Said("Events that no program took", "the day they were due", "removed", _LITTLE),
    "finished jobs": Said("Which work the program has done", "its end", "removed", _LITTLE),
    PLANS.name: Said(
        "Success plans with all their versions", "the day the student left the district's rosters", "removed",
        "Part of the education record; the district's records schedule.",
    ),
    LOG_FILES: Said("Log files of the database", "the day they were written", "removed", _LITTLE),
}  # fmt: skip
STAYS = (
    Said("Who was shown what of a student", "as long as the student's record", "removed with it", "34 CFR 99.32"),
    Said(
        "Requests to amend a record, and statements", "as long as the student's record", "removed with it",
        "34 CFR 99.20 to 99.22",
    ),
    Said(
        "Who did what, and the hashes that prove it", "for good", "a purge takes what it says of the student",
        "Proof of lawful handling.",
    ),
    Said("That somebody was purged, by keyed hashes", "for good", "names nobody", "No backup brings them back."),
)  # fmt: skip


def rows(settings: Settings) -> list[dict[str, str]]:
    """Each rule in public words."""
    found = [_row(PUBLIC[rule.name], _lasts(rule, settings)) for rule in (PLANS, *RULES)]
    found.append(_row(PUBLIC[LOG_FILES], f"{settings.log_days} days"))
    stays = [{"what": one.what, "kept": one.trigger, "from": "", "then": one.action, "why": one.basis} for one in STAYS]
    return found + stays


def _row(said: Said, kept: str) -> dict[str, str]:
    return {"what": said.what, "kept": kept, "from": said.trigger, "then": said.action, "why": said.basis}


def _lasts(rule: Rule, settings: Settings) -> str:
    days = rule.lasts(settings)
    years = days / 365.25
    if not rule.days:
        return "not at all"
    return f"{years:.0f} years" if days > 700 and abs(years - round(years)) < 0.01 else f"{days} days"


def markdown(settings: Settings) -> str:
    """The page as Markdown."""
    lines = [
        f"# {TITLE}",
        "",
        INTRODUCTION,
        "",
        "| What | Kept for | Counted from | Then | Why |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(row.values())} |" for row in rows(settings)]
    return "\n".join([*lines, "", HOLD, ""])


def html(settings: Settings) -> str:
    """The page as HTML, in one file."""
    body = "".join(
        f'<tr><th scope="row">{escape(row["what"])}</th>'
        + "".join(f"<td>{escape(row[name])}</td>" for name in ("kept", "from", "then", "why"))
        + "</tr>\n"
        for row in rows(settings)
    )
    heads = "".join(f'<th scope="col">{one}</th>' for one in ("What", "Kept for", "Counted from", "Then", "Why"))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>\n'
        "<style>body{font-family:sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "th,td{text-align:left;vertical-align:top;padding:.4rem;border-bottom:1px solid #767676}</style></head>\n"
        f"<body><main><h1>{TITLE}</h1>\n<p>{escape(INTRODUCTION)}</p>\n<table><caption>{TITLE}</caption>"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>{body}</tbody></table>\n<p>{escape(HOLD)}</p></main></body></html>\n"
    )
