"""The command line: one entry, one way to show results, one way to fail."""

import json
import logging
import os
import sys
from typing import NoReturn

import typer
from rich.markup import escape

from gateway import clock, logs, messages
from gateway.cli import (
    access,
    accounts,
    agreements,
    attention,
    audit,
    backup,
    clients,
    collecting,
    configuration,
    connections,
    coverage,
    crosswalks,
    delivering,
    demo,
    districts,
    doctor,
    exports,
    family,
    guards,
    history,
    identity,
    notices,
    plans,
    printing,
    purge,
    pushing,
    quality,
    record,
    rejects,
    retention,
    runs,
    sandbox,
    schedules,
    serve,
    service,
    unmatched,
    upload,
    vendors,
    verification,
    webhooks,
    year,
)
from gateway.cli.output import STDERR, error_document
from gateway.errors import PlanbridgeError
from gateway.messages import Message, Standing
from gateway.store.database import DatabaseError, explained, is_full

log = logging.getLogger(__name__)

app = typer.Typer(
    name="planbridge",
    help="Rosters and results in, one common record, finished success plans out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for part in (
    service, connections, clients, collecting, year, configuration, runs, guards, history, quality, rejects, crosswalks,
    identity, unmatched, schedules, notices, webhooks, plans, printing, record, attention, coverage, pushing,
    delivering, verification, agreements, vendors, access, accounts, family, purge, retention, audit, backup, districts,
    doctor, upload, exports, serve, demo, sandbox,
):  # fmt: skip
    part.register(app)


def main() -> None:
    """Run a command. Exit codes: 0 done, 2 to be changed by a person, 3 credentials refused, 4 try later,
    5 a record, 6 refused by a rule, 7 held for a person, 1 our own fault."""
    logs.begin(os.environ.get("PLANBRIDGE_LOG", ""))
    try:
        app()
    except PlanbridgeError as error:
        _end(error)
    except DatabaseError as error:
        if (known := explained(error)) is None:
            _end_for_our_fault(error)
        else:
            _end(known, messages.of_full_disk(clock.now(), Standing()) if is_full(error) else None)
    except Exception as error:
        _end_for_our_fault(error)


def _end(error: PlanbridgeError, message: Message | None = None) -> NoReturn:
    """Say what is wrong and what to do; `message` says it in five parts."""
    if "--json" in sys.argv:
        print(json.dumps(error_document(error) | ({"parts": message.parts()} if message else {})))
    else:
        STDERR.print(f"[bold red]Error:[/] {escape(error.message)}", highlight=False)
        if error.fix and not message:
            STDERR.print(f"[bold]What to do:[/] {escape(error.fix)}", highlight=False)
        STDERR.print(f"[dim]Code {error.code}, explained in docs/errors.md[/]", highlight=False)
        for pointer in getattr(error, "missing", ()):
            STDERR.print(f"  missing: {pointer}", highlight=False)
        if message:
            STDERR.print(f"\n{message.text}", highlight=False, markup=False)
    sys.exit(error.exit_code)


def _end_for_our_fault(error: Exception) -> NoReturn:
    # Its text may quote a record.
    log.critical("this is a fault of Planbridge, please report it: %s", logs.where(error))
    sys.exit(1)
