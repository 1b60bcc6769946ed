"""Log lines: one JSON object each, with the run and the job they are about, and nothing that somebody else said.

Messages hold ids, codes and counts only; nothing is filtered out afterwards, because nothing gets in. What an
exception says may quote a record, so of an exception only its kind and its place in the code are written.
"""

import asyncio
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from pythonjsonlogger.json import JsonFormatter

_IDS: ContextVar[Mapping[str, int] | None] = ContextVar("ids", default=None)
_Caught = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

log = logging.getLogger(__name__)


def begin(form: str) -> None:
    """Log warnings to stderr: as `json`, as `text`, or, whatever else `form` says, as text for a person at a terminal
    and as JSON for everybody else."""
    lines = logging.StreamHandler()
    lines.setFormatter(_Text() if form == "text" or (form != "json" and sys.stderr.isatty()) else _Json())
    logging.basicConfig(level=logging.WARNING, handlers=[lines])


def tell() -> None:
    """A service says what it does, too, not only what went wrong."""
    logging.getLogger("gateway").setLevel(logging.INFO)
    logging.captureWarnings(True)


@contextmanager
def about(**ids: int) -> Iterator[None]:
    """Every line written within carries these ids, whoever writes it."""
    before = _IDS.set({**(_IDS.get() or {}), **ids})
    try:
        yield
    finally:
        _IDS.reset(before)


def where(error: BaseException) -> str:
    """The kind of an unexpected error and the places it passed: never its message, which may quote a record."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "site-packages" not in frame.filename]
    return f"{type(error).__name__} at {' > '.join(ours[-4:])}"


def lost(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """For `loop.set_exception_handler`: asyncio's own would print the exception."""
    error = context.get("exception")
    log.error("lost in the background: %s", where(error) if error else context["message"])


class _Unquoted(logging.Formatter):
    def formatException(self, caught: _Caught) -> str:
        return where(caught[1]) if caught[1] is not None else ""


class _Text(_Unquoted):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class _Json(_Unquoted, JsonFormatter):
    def add_fields(self, line: dict[str, Any], record: logging.LogRecord, message: dict[str, Any]) -> None:
        # Not what other people's code adds as `extra`: that holds what it likes.
        line["at"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line["level"] = record.levelname
        line["logger"] = record.name
        line["message"] = record.getMessage()
        if "exc_info" in message:
            line["error"] = message["exc_info"]
        line |= _IDS.get() or {}
