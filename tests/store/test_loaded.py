"""What a process of ours loads, and by what it knows its schema without loading the migrations."""

import subprocess
import sys

from alembic.config import Config
from alembic.script import ScriptDirectory

from gateway.store.database import head, knows


def test_a_worker_does_not_hold_what_only_upgrades_and_terminals_need() -> None:
    """Each takes megabytes, of every worker and for as long as it lives."""
    loaded = "import sys, gateway.worker; print(*{name.partition('.')[0] for name in sys.modules})"
    said = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert "sqlalchemy" in said and "httpx" in said
    assert {
        "alembic",
        "mako",
        "pygments",
        "fastapi",
        "uvicorn",
        "typer",
        "yaml",
        "synthetic",
        "joserfc",
        "authlib",
    } & set(said) == set()


def test_the_names_of_the_migrations_are_the_versions_in_their_order() -> None:
    config = Config()
    config.set_main_option("script_location", "gateway:migrations")
    scripts = ScriptDirectory.from_config(config)
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert head() == scripts.get_current_head() == revisions[0]
    assert all(map(knows, revisions)) and knows(None) and not knows("9999") and not knows("__init__")
