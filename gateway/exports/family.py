"""A family's copy as files: everything as JSON, and a page to read."""

import hashlib
import json
from html import escape
from pathlib import Path
from typing import Any

from gateway import clock
from gateway.errors import ConfigError
from gateway.store.copies import Copy

DATA, PAGE = "record.json", "index.html"
TITLES = {
    "person": "Who the student is",
    "relationship": "Family",
    "enrollment": "Classes",
    "result": "Results in class",
    "assessment_result": "Results of assessments",
    "plan": "Plans as they stand",
    "plan_version": "Finalized versions",
    "plan_event": "What was done to the plans",
    "delivery": "What was sent to other systems",
    "ledger": "Objects at other systems",
    "disclosure": "Who was shown something",
    "consent": "Consents",
    "record_entry": "The running record",
    "amendment": "Requests to amend the record",
    "act": "Who did what",
}
FIRST = tuple(TITLES)


def prepare(folder: Path) -> None:
    """The folder the copy goes into: made, and empty. ConfigError where it is not, before anything is read."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError as error:
        raise ConfigError("file-unwritable", f"{folder} cannot be written: {error.strerror}.", "Correct it.") from None
    if not empty:
        raise ConfigError("folder-not-empty", f"{folder} holds something already.", "Name an empty or a new folder.")


def write(copy: Copy, folder: Path) -> dict[str, Any]:
    """Write the copy; returns what it holds: rows per part, what was left out, and the hash of the data."""
    parts = {name: copy.parts[name] for name in sorted(copy.parts, key=_place) if copy.parts[name]}
    made = {"student": copy.student, "made_at": clock.now().isoformat(), "left_out": copy.left_out, "names": copy.names}
    data = json.dumps({**made, "parts": parts}, indent=2, ensure_ascii=False, default=str).encode()
    _put(folder / DATA, data)
    _put(folder / PAGE, _page(copy, parts).encode())
    return {
        "rows": {name: len(rows) for name, rows in parts.items()},
        "left_out": copy.left_out,
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _place(part: str) -> tuple[int, str]:
    return (FIRST.index(part) if part in FIRST else len(FIRST), part)


def _put(path: Path, said: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(said)


def _page(copy: Copy, parts: dict[str, list[dict[str, Any]]]) -> str:
    contents = "".join(f'<li><a href="#{name}">{_title(name)}</a> ({len(rows)})</li>' for name, rows in parts.items())
    left = "".join(f"<li>{escape(what)}: {n}</li>" for what, n in copy.left_out.items()) or "<li>nothing</li>"
    body = "".join(
        f'<section><h2 id="{name}">{_title(name)}</h2>\n'
        + "".join(f"<article>{_shown(row, copy.names)}</article>\n" for row in rows)
        + "</section>\n"
        for name, rows in parts.items()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Everything about one student</title>\n'
        "<style>body{font-family:sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "article{border-top:1px solid #767676;padding:.5rem 0}dt{font-weight:bold}dd{margin:0 0 .3rem 1.5rem}"
        "</style></head>\n<body><main><h1>Everything about one student</h1>\n"
        f"<p>Made on {clock.today().isoformat()}. The same, for programs, is in {DATA}.</p>\n"
        f"<h2>What is here</h2><ul>{contents}</ul>\n<h2>What was left out</h2><ul>{left}</ul>\n"
        f"{body}</main></body></html>\n"
    )


def _title(part: str) -> str:
    return escape(TITLES.get(part, part.replace("_", " ").capitalize()))


def _shown(value: Any, names: dict[str, str]) -> str:
    if isinstance(value, dict):
        rows = "".join(
            f"<dt>{escape(str(key).replace('_', ' '))}</dt><dd>{_shown(one, names)}</dd>"
            for key, one in value.items()
            if one not in (None, "", [], {})
        )
        return f"<dl>{rows}</dl>"
    if isinstance(value, list):
        return "<ul>" + "".join(f"<li>{_shown(one, names)}</li>" for one in value) + "</ul>"
    text = names.get(value, str(value)) if isinstance(value, str) else str(value)
    return escape(text)
