"""`planbridge doctor`, as support asks for it: what is right, what is wrong, what it cannot see; it changes nothing."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.oneroster.twin import twin
from gateway.cli import doctor
from gateway.settings import Settings
from gateway.store import condition
from synthetic import build
from tests.e2e.processes import Home, tables, until
from tests.serving import serve

SECRET = "not-to-be-shown-91"
DISTRICT = build(schools=1, students=20, seed=4)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="looks at rights of files")


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """Connected, pulled, backed up, somebody is told, and a worker lives: all is right."""
    with Home.made(laid=True) as made, serve(twin(DISTRICT)) as url:
        made.connect_oneroster(url)
        worker = made.start("worker")
        assert made.json("pull", "oneroster")["state"] == "published"
        assert made.run("backup", str(made.folder / "first.dump")).returncode == 0
        done = made.run("notices", "add-email", "it@district.example.org", **MAIL)
        assert done.returncode == 0, done.stderr
        until(lambda: examined(made)[0] == 0, "all is right")
        yield made
        made.stop(worker)


MAIL = {"PLANBRIDGE_SMTP_HOST": "mail.example.org", "PLANBRIDGE_SMTP_FROM": "planbridge@district.example.org"}

PATIENT = {"PLANBRIDGE_TAKEOVER_SECONDS": "30"}
"""A worker that is slow on a busy machine still lives; one that is stopped says goodbye."""


def examined(home: Home, **variables: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the findings; no secret stands in them."""
    done = home.run("doctor", "--json", **MAIL | PATIENT | variables)
    assert done.stderr == "", done.stderr
    assert SECRET not in done.stdout and home.server.password not in done.stdout
    return done.returncode, json.loads(done.stdout)


def wrong(home: Home, **variables: str) -> list[str]:
    """What is wrong; each has a fix, and something is to be done."""
    code, findings = examined(home, **variables)
    found = [finding for finding in findings if not finding["ok"]]
    assert code == doctor.SOMETHING_TO_DO and all(finding["fix"] for finding in found), found
    return [str(finding["text"]) for finding in found]


def are(found: list[str], expected: Iterable[str]) -> bool:
    """Whether each was expected, and each that was expected is there."""
    wanted = list(expected)
    return len(found) == len(wanted) and all(any(one in text for text in found) for one in wanted)


def test_it_says_what_is_right_and_changes_nothing(home: Home) -> None:
    files = sorted(path for path in home.home.rglob("*") if path.name != "processes.json")
    before = {name: rows for name, rows in tables(home).items() if name != "act"}
    code, findings = examined(home)
    said = "\n".join(finding["text"] for finding in findings)
    assert code == 0
    for part in ("Python", "home folder", "GB are free", "keys", "PostgreSQL 18", "schema", "kept apart",
                 "clocks", "Workers alive", "silent", "People are told", "backup"):  # fmt: skip
        assert part in said, part
    assert {name: rows for name, rows in tables(home).items() if name != "act"} == before
    assert sorted(path for path in home.home.rglob("*") if path.name != "processes.json") == files
    shown = home.run("doctor", **MAIL | PATIENT)
    assert shown.returncode == 0 and shown.stdout.count("ok ") == len(findings)


@contextmanager
def altered(home: Home, change: str, back: str) -> Iterator[None]:
    with home.database() as c:
        c.execute(change.encode())
        try:
            yield
        finally:
            c.execute(back.encode())


IN_THE_DATABASE = {
    "pass over row-level security": (
        "ALTER ROLE planbridge_app BYPASSRLS", "ALTER ROLE planbridge_app NOBYPASSRLS"
    ),
    "may make roles": ("ALTER ROLE planbridge_app CREATEROLE", "ALTER ROLE planbridge_app NOCREATEROLE"),
    "Row-level security is off for entity": (
        "ALTER TABLE entity DISABLE ROW LEVEL SECURITY", "ALTER TABLE entity ENABLE ROW LEVEL SECURITY"
    ),
    "no good sync": (
        "UPDATE run SET good_at = good_at - interval '40 hours'; "
        "UPDATE connection SET created_at = created_at - interval '40 hours'",
        "UPDATE run SET good_at = good_at + interval '40 hours'; "
        "UPDATE connection SET created_at = created_at + interval '40 hours'",
    ),
    "waits for a person: paused": (
        "UPDATE connection SET paused_because = 'refused'", "UPDATE connection SET paused_because = NULL"
    ),
    "UTC: unreachable": (
        "UPDATE run SET state = 'failed', error_code = 'unreachable', good_at = NULL",
        "UPDATE run SET state = 'published', error_code = NULL, good_at = finished_at",
    ),
    "end on": (
        "UPDATE connection SET secret_ends = CURRENT_DATE + 6", "UPDATE connection SET secret_ends = NULL"
    ),
    "ended on": (
        "UPDATE connection SET secret_ends = CURRENT_DATE - 1", "UPDATE connection SET secret_ends = NULL"
    ),
    "The last backup was made": (
        "UPDATE act SET at = at - interval '20 days'", "UPDATE act SET at = at + interval '20 days'"
    ),
    "No backup was ever made": (
        "UPDATE act SET act = 'forgotten' WHERE act = 'backup'", "UPDATE act SET act = 'backup' WHERE act = 'forgotten'"
    ),
    "Nobody is told": (
        "CREATE TEMPORARY TABLE put_away AS SELECT * FROM channel; DELETE FROM channel",
        "INSERT INTO channel OVERRIDING SYSTEM VALUE SELECT * FROM put_away; DROP TABLE put_away",
    ),
    "lacks purges that the database knows: 1": (
        "INSERT INTO purge VALUES (gen_random_uuid(), 0, '', 'student', '', '{}', '{}', '', '{}', now())",
        "DELETE FROM purge",
    ),
    "Retention last ran": (
        "INSERT INTO retention_pass (at, done) SELECT now() - interval '5 hours', '{}'; "
        "UPDATE retention_pass SET at = at - interval '5 hours'",
        "UPDATE retention_pass SET at = at + interval '5 hours'",
    ),
    "runs with log_statement": (
        "ALTER DATABASE planbridge SET log_statement = 'all'", "ALTER DATABASE planbridge RESET log_statement"
    ),
    "synchronous_commit = off": (
        "ALTER DATABASE planbridge SET synchronous_commit = off",
        "ALTER DATABASE planbridge RESET synchronous_commit",
    ),
}  # fmt: skip


APART = ("UTC: unreachable", "ended on", "No backup was ever made", "may make roles")
"""What cannot be so together with the others."""


@pytest.mark.parametrize("together", [IN_THE_DATABASE.keys() - {*APART}, APART], ids=["most", "the others"])
def test_what_is_wrong_in_the_database_is_found(home: Home, together: Iterable[str]) -> None:
    with ExitStack() as changes:
        for said in together:
            changes.enter_context(altered(home, *IN_THE_DATABASE[said]))
        found = wrong(home)
    assert are(found, together), found
    assert examined(home)[0] == 0, "all is as it was"


SETTINGS = (
    (
        {
            "PLANBRIDGE_HOST": "0.0.0.0",
            "PLANBRIDGE_PUBLIC_URL": "https://plans.example.org",
            "PLANBRIDGE_TLS_KEY": "/nowhere/key.pem",
            "PLANBRIDGE_SMTP_TLS": "none",
            "PLANBRIDGE_KEYS": Fernet.generate_key().decode(),
        },
        ("can be reached from the network", "neither a proxy nor TLS", "A TLS key is named",
         "The line to the mail server", "encrypted with another key"),
    ),
    (
        {"PLANBRIDGE_TRUSTED_PROXY": "10.0.0.5", "PLANBRIDGE_SMTP_HOST": "", "PLANBRIDGE_KEYS": SECRET},
        ("Links will name", "no mail server", "The encryption keys cannot be read"),
    ),
    (
        {"PLANBRIDGE_PUBLIC_URL": "http://plans.example.org", "PLANBRIDGE_TRUSTED_PROXY": "10.0.0.5",
         "PLANBRIDGE_SMTP_FROM": ""},
        ("is not encrypted", "no sender"),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("variables", "said"), SETTINGS, ids=["open", "behind a proxy", "not encrypted"])
def test_what_is_wrong_in_the_settings_is_found(home: Home, variables: dict[str, str], said: tuple[str, ...]) -> None:
    found = wrong(home, **variables)
    assert are(found, said), found


def test_a_certificate_that_ends_or_does_not_fit_is_found(home: Home, tmp_path: Path) -> None:
    public = {"PLANBRIDGE_PUBLIC_URL": "https://plans.example.org"}
    for days, said in ((90, None), (5, "The TLS certificate ends on")):
        files = certificate(tmp_path, days)
        if said:
            assert are(wrong(home, **public, **files), [said])
        else:
            assert examined(home, **public, **files)[0] == 0
    other = certificate(tmp_path, 90) | {"PLANBRIDGE_TLS_KEY": str(tmp_path / "other.pem")}
    shutil.copy(tmp_path / "key.pem", tmp_path / "other.pem")
    certificate(tmp_path, 90)
    assert are(wrong(home, **public, **other), ["do not belong together"])


def certificate(folder: Path, days: int) -> dict[str, str]:
    """A new key and its certificate, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plans.example.org")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(1),
                                   now + timedelta(days)).sign(key, hashes.SHA256())  # fmt: skip
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {
        "PLANBRIDGE_TLS_CERTIFICATE": str(folder / "certificate.pem"), "PLANBRIDGE_TLS_KEY": str(folder / "key.pem")
    }  # fmt: skip


def test_rights_of_files_are_found(home: Home) -> None:
    places = {home.home: 0o777, home.home / "keys": 0o644}
    before = {path: path.stat().st_mode for path in places}
    try:
        for path, mode in places.items():
            path.chmod(mode)
        assert are(wrong(home), ["Others can write into the home folder", "Others can read"])
    finally:
        for path, mode in before.items():
            path.chmod(mode)


def test_keys_that_are_gone_are_found_and_not_made_again(home: Home) -> None:
    keys = home.home / "keys"
    keys.rename(home.folder / "kept apart")
    try:
        assert are(wrong(home), ["The encryption keys are gone"])
        assert not keys.exists()
    finally:
        (home.folder / "kept apart").rename(keys)


def test_a_file_of_purges_that_is_damaged_is_found(home: Home) -> None:
    broken = home.folder / "purges.jsonl"
    broken.write_text('{"not": "ours"}\n')
    assert are(wrong(home, PLANBRIDGE_PURGES=str(broken)), ["cannot be used"])


def test_a_full_disk_is_found(home: Home) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    small = home.folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        code, findings = examined(home, PLANBRIDGE_HOME=str(small))
        said = [finding["text"] for finding in findings if not finding["ok"]]
        assert code == doctor.CANNOT_LOOK and any("0.0 GB are free" in text for text in said)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_what_cannot_be_looked_at_is_a_finding_too(home: Home) -> None:
    nowhere = home.folder / "nowhere"
    address = f"postgresql://somebody:{SECRET}@127.0.0.1:1/planbridge"
    on_socket = home.server.url.replace("postgresql://planbridge_owner@", f"postgresql://planbridge_owner:{SECRET}@")
    for said, variables in {
        "There is no database yet": {"PLANBRIDGE_HOME": str(nowhere)},
        "cannot be reached": {"PLANBRIDGE_DATABASE_URL": address},
        "refuses the user": {"PLANBRIDGE_DATABASE_URL": on_socket},
        "is no address of a database": {"PLANBRIDGE_DATABASE_URL": f"postgresql://a:{SECRET}@host:{SECRET}/x"},
        "The settings cannot be read": {"PLANBRIDGE_PORT": SECRET},
    }.items():
        code, findings = examined(home, **variables)
        assert code == doctor.CANNOT_LOOK, said
        assert any(said in finding["text"] and finding["fix"] for finding in findings if not finding["ok"]), findings
    assert not nowhere.exists()


def test_a_dead_worker_and_an_empty_database_are_found(home: Home) -> None:
    with altered(home, "CREATE DATABASE empty_one", "DROP DATABASE empty_one"):
        url = home.server.url.replace("@/planbridge", f":{home.server.password}@/empty_one")
        _, findings = examined(home, PLANBRIDGE_DATABASE_URL=url)
        assert [one["text"] for one in findings if not one["ok"]] == ["The database is empty."]
    [worker] = home.started
    home.stop(worker)
    until(lambda: examined(home)[0] == doctor.SOMETHING_TO_DO, "the worker is missed")
    assert are(wrong(home), ["No worker lives"])
    with ExitStack() as changes:
        changes.enter_context(altered(home, "UPDATE alembic_version SET version_num = '9999' || version_num",
                                      "UPDATE alembic_version SET version_num = substr(version_num, 5)"))  # fmt: skip
        assert are(wrong(home), ["which this program does not know"])
    with altered(
        home,
        "INSERT INTO schedule (connection_id, district_id, cron, zone, jitter_seconds, next_due_at) "
        "SELECT id, district_id, '0 2 * * *', 'UTC', 0, now() - interval '1 hour' FROM connection",
        "DELETE FROM schedule",
    ):
        texts = [finding["text"] for finding in examined(home)[1] if not finding["ok"]]
        assert any("Schedules due for more than five minutes: 1" in text for text in texts)
    home.server.stop()
    code, findings = examined(home)
    assert code == doctor.CANNOT_LOOK
    assert [one["text"] for one in findings if not one["ok"]] == ["The embedded database does not run."]
    home.server.start(shared_buffers="64MB")
    home.started.clear()
    home.start("worker")


def test_what_cannot_be_provoked_here_is_said_too(settings: Settings, store: object) -> None:
    """An old server and a clock that is wrong."""
    found = condition.read(settings)
    assert all(finding.ok for finding in doctor.of_database(found) if "fsync" not in finding.text)
    for odd, said in (
        (replace(found, version=14, server="14.9"), "PostgreSQL 14.9"),
        (replace(found, clock_ahead=timedelta(seconds=-95)), "95 seconds apart"),
        (replace(found, schema="0001", schema_fits=False), "an older version"),
        (replace(found, app_role="it is not there"), "does not keep districts apart"),
    ):
        assert [f.text for f in doctor.of_database(odd) if not f.ok and said in f.text], said
