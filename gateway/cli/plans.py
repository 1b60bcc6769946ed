"""Commands about plans."""

import typer


def register(app: typer.Typer) -> None: ...
