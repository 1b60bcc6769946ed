"""What every command has in common."""

from collections.abc import Iterator
from typing import Any

import typer

from gateway.cli import app

SAY_NOTHING = {
    "up": "It goes on until it is stopped.",
    "worker": "It goes on until it is stopped.",
    "api": "It goes on until it is stopped.",
    "down": "Whether it ended well is its exit code; what runs no more has no number.",
    "demo": "It is looked at by a person.",
    "plan template": "What it prints is a file for a table program.",
    "export-config": "What it prints is the file that apply reads.",
}
"""Commands without --json, and why."""


def test_every_command_answers_machines() -> None:
    commands = dict(_commands(typer.main.get_command(app)))
    silent = {
        name for name, command in commands.items() if not any("--json" in option.opts for option in command.params)
    }
    assert silent == set(SAY_NOTHING)


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
            if command.invoke_without_command:
                yield f"{before}{name}", command
        else:
            yield f"{before}{name}", command
