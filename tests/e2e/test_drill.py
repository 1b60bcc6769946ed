"""The worst day, rehearsed: the database is lost and comes back; a backup comes back that has not heard of a purge."""

import asyncio
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from tests.api.conftest import token
from tests.e2e.office import QuickHome
from tests.e2e.processes import Home, closed_port, tables, until
from tests.e2e.test_leaks import files
from tests.store.school import NUMBER, TELLING, Package

BECAUSE = "case 2026-114"


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A district with one pull behind it, and a client that may see who is there."""
    with QuickHome.made(laid=True) as made:
        package = Package(made.folder / "roster")
        package.write()
        made.run("connect", "oneroster", "--name", "sis", "--set", f"path={package.folder}", "--yes")
        with made.database() as c:
            for _ in range(2000):  # a server of some age: a new one counts its transactions from the beginning
                c.execute("SELECT pg_current_xact_id()")
        assert made.json("pull", "sis")["state"] == "published"
        yield made


@pytest.fixture(scope="module")
def backup(home: Home) -> Path:
    file = home.folder / "backups" / "before.dump"
    file.parent.mkdir()
    made = home.json("backup", str(file))
    assert made["rows"]["entity"] > 10 and file.stat().st_mode & 0o777 == 0o600
    return file


def lost(home: Home) -> None:
    """The data folder is gone. The keys and the file of purges lay elsewhere."""
    home.server.remove()
    assert not (home.home / "postgres" / "cluster").exists()


def state(home: Home) -> dict[str, tuple[int, str]]:
    """Every table but the record of acts, to which the restoring is added; of the log of changes without the numbers
    of transactions, which are the server's."""
    found = tables(home)
    for acts in ("act", "unsealed", "chain"):
        found.pop(acts)
    # A restore begins the feed of events anew.
    districts = home.sql("SELECT CAST(to_jsonb(t) - 'feed' AS text) FROM district t ORDER BY id")
    found["district"] = len(districts), sha256(repr(districts).encode()).hexdigest()
    changes = home.sql("SELECT CAST(to_jsonb(t) - 'xid' AS text) FROM change t ORDER BY seq")
    return found | {"change": (len(changes), sha256(repr(changes).encode()).hexdigest())}


def test_what_was_lost_comes_back_hash_for_hash(home: Home, backup: Path) -> None:
    before = state(home)
    lost(home)
    assert home.json("restore", str(backup))["restored"] is False
    assert home.json("restore", str(backup), "--yes")["restored"] is True
    assert state(home) == before
    refused = home.json("restore", str(backup), "--yes", code=6)
    assert refused["error"] == "database-not-empty"
    run = home.json("pull", "sis")
    assert run["state"] == "published"
    assert {c["added"] + c["changed"] + c["gone"] for c in run["counts"]["collections"]} == {0}, (
        "as if nothing had been"
    )
    hidden = "SELECT count(*) FROM change WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())"
    assert home.one(hidden) == 0, "who asks what changed misses nothing"


def test_a_backup_that_is_not_whole_is_refused(home: Home, backup: Path) -> None:
    assert home.json("backup", str(backup), code=2)["error"] == "backup-exists"
    torn = backup.with_name("torn.dump")
    torn.write_bytes(backup.read_bytes()[:-100])
    assert home.json("restore", str(torn), code=2)["error"] == "backup-incomplete"
    manifest = json.loads(backup.with_name("before.dump.json").read_text())
    torn.with_name("torn.dump.json").write_text(json.dumps(manifest))
    assert home.json("restore", str(torn), code=2)["error"] == "backup-damaged"
    torn.with_name("torn.dump.json").write_text(json.dumps(manifest | {"schema": "9999"} | measured(torn.read_bytes())))
    assert home.json("restore", str(torn), code=2)["error"] == "backup-newer"
    torn.with_name("torn.dump.json").write_text(json.dumps(manifest | measured(torn.read_bytes())))
    before = state(home)
    assert home.json("restore", str(torn), "--yes", "--replace", code=2)["error"] == "restore-failed"
    assert state(home) == before, "what was there is there"


def measured(dump: bytes) -> dict[str, Any]:
    return {"sha256": sha256(dump).hexdigest(), "bytes": len(dump)}


def student(home: Home) -> str:
    [found] = home.json("students", "--number", NUMBER)
    return str(found["id"])


def told(home: Home, telling: Sequence[str] = TELLING) -> dict[str, list[str]]:
    """Where a word stands that tells of the student: in a dump of the database, in a file of its home."""
    home.server.start(shared_buffers="64MB")
    found = {"dump": home.dump(), **files(home.home)}
    return {
        place: words for place, said in found.items() if (words := [word for word in telling if word.encode() in said])
    }


def test_a_purge_holds_when_an_older_backup_is_restored(home: Home, backup: Path) -> None:
    """By our own command, and by whoever puts a copy of the data folder back and knows nothing of our commands."""
    id = student(home)
    assert "dump" in told(home) and len(told(home)) > 1, "else there would be nothing to find"
    client = home.json("client", "add", "planner", "--kind", "sis", "--scope", "students.read")
    older = backup.with_name("older.dump")
    home.json("backup", str(older))
    home.server.stop()
    copy = home.folder / "copy"
    shutil.copytree(home.server.home / "cluster", copy)
    purged = home.json("purge", "student", id, "--because", BECAUSE, "--yes")
    assert purged["erased"] == "wholly"
    assert told(home) == {}

    assert home.json("restore", str(older), "--yes", "--replace")["restored"] is True
    assert first_answer(home, client) == 11
    assert told(home) == {}
    [proof] = home.json("purge", "list", "--student", id)
    assert (proof["id"], proof["because"]) == (purged["id"], BECAUSE)
    assert home.json("pull", "sis")["state"] == "published"
    assert told(home) == {}

    put_back(home, copy)
    shutil.rmtree(copy)
    assert first_answer(home, client) == 11
    assert told(home) == {}


def first_answer(home: Home, client: dict[str, str]) -> int:
    """How many students the service shows to its first caller."""
    with up(home) as url:
        return int(get(url, client, "/v1/students")["total"])


def put_back(home: Home, copy: Path) -> None:
    home.server.stop()
    cluster = (home.server.home / "cluster").resolve()
    owner = cluster.joinpath("data").stat()
    shutil.rmtree(cluster / "data")
    shutil.copytree(copy / "data", cluster / "data")
    if os.geteuid() == 0:
        for path in [cluster / "data", *(cluster / "data").rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid)
    (cluster / "data").chmod(0o700)


@contextmanager
def up(home: Home) -> Iterator[str]:
    port = closed_port()
    service = home.start("up", "--port", str(port))
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return bool(json.loads(urlopen(f"{url}/health").read())["database"])
        except OSError:
            return False

    until(answers, "the API answers")
    try:
        yield url
    finally:
        home.run("down")
        service.wait()


def get(url: str, client: dict[str, str], path: str, **headers: str) -> Any:
    form = f"grant_type=client_credentials&client_id={client['client_id']}&client_secret={client['client_secret']}"
    token = json.loads(urlopen(Request(f"{url}/oauth/token", form.encode())).read())["access_token"]
    return json.loads(urlopen(Request(f"{url}{path}", headers={"Authorization": f"Bearer {token}", **headers})).read())


async def asking_for(home: Home, url: str, client: dict[str, str], person: str) -> dict[str, str]:
    """The header with a token of a client that was issued for a person, by the API at `url`."""
    store = await Store.open(Settings(home=home.home, shared_buffers="64MB", public_url=url))
    try:
        district = await registers.district(store, "default")
        return await token(store, district, client["client_id"], person=person)
    finally:
        await store.close()


HIS = ("stu-other-0", "Pettifer0", "planted-mazes", "planted-goal", "planted-paper", "planted-asked", "planted-read")
"""What only the student has who is purged there: in the roster, the record, a plan, a consent, a request, a look."""


def written_about(home: Home, student: str) -> None:
    by = ("--as", "Ottoline Farrow")
    home.run("record", "add", student, "--text", "Likes planted-mazes.", *by)
    draft = home.folder / "draft.json"
    draft.write_text(json.dumps({"goals": [{"domain": "academic", "statement": "planted-goal"}]}))
    home.run("plan", "new", "--student", student, "--file", str(draft), *by)
    draft.unlink()
    home.run(
        "consents", "add", student, "--by", "Maud Pettifer0", "--to", "organization:Lantern Club", "--section", "goals",
        "--from", "2026-01-01", "--until", "2099-12-31", "--evidence", "planted-paper", *by,
    )  # fmt: skip
    home.run("family", "amend", student, "--by", "Him", "--about", "/needs", "--asked", "planted-asked")
    home.run("record", "list", student, "--role", "parent", "--as", "planted-read")


def test_what_was_decided_since_holds_when_an_older_backup_is_restored(home: Home, backup: Path) -> None:
    """A purge, a consent that was revoked, an agreement that was ended, a guardian who is kept away: the first answer
    knows of all; the chain of acts holds, and what is changed in it is found."""
    [gone], [child] = home.json("students", "--number", "88000"), home.json("students", "--number", "77310456")
    written_about(home, gone["id"])
    mother = home.one(
        "SELECT doc->>'contact' FROM entity WHERE kind = 'relationship' AND doc->>'student' = %(id)s", id=child["id"]
    )
    days = ("--from", "2026-01-01", "--until", "2099-12-31")
    home.run("agreements", "host", "sis", "--agency", "Fennel Agency")
    home.run("agreements", "add", "sis", "--reference", "A-1", *days)
    home.run(
        "consents", "add", child["id"], "--by", mother, "--to", f"person:{mother}", "--section", "goals",
        *days, "--as", "Ottoline Farrow",
    )  # fmt: skip
    client = home.json(
        "client", "add", "portal", "--kind", "sis", "--scope", "students.read", "--scope", "plans.read",
        "--section", "goals",
    )  # fmt: skip
    assert "yes" in {one["may"] for one in home.json("access", "why", mother, child["id"])}
    [agreement], [consent] = home.json("agreements"), home.json("consents", "list", "--student", child["id"])
    assert home.json("audit", "verify")["holds"] is True
    older = backup.with_name("decided.dump")
    home.json("backup", str(older))
    assert set(HIS) == set(told(home, HIS)["dump"]), "else there would be nothing to find"

    home.json("purge", "student", gone["id"], "--because", BECAUSE, "--yes")
    assert told(home, HIS) == {}
    home.run("family", "restrict", child["id"], mother, "--because", "court order 2026-88")
    home.run("consents", "revoke", str(consent["id"]), "--because", "She asked.", "--as", "Ottoline Farrow")
    home.run("agreements", "end", str(agreement["id"]), "--because", "It was called off.")
    words = ("--by", "Her mother", "--about", "/needs/0", "--asked", "It is wrong.")
    asked = home.json("family", "amend", child["id"], *words)["id"]
    kept = home.json("audit", "head")["head"]
    assert home.json("audit", "verify", "--head", kept)["holds"] is True

    restored = home.json("restore", str(older), "--yes", "--replace")
    assert restored["restored"] is True and [one["request"] for one in restored["lost_requests"]] == [asked]
    with up(home) as url:
        with pytest.raises(HTTPError, match="403"):
            get(url, client, f"/v1/students/{child['id']}/plan", **asyncio.run(asking_for(home, url, client, mother)))
        assert gone["id"] not in {one["id"] for one in get(url, client, "/v1/students")["students"]}
    reasons = {one["reason"] for one in home.json("access", "why", mother, child["id"])}
    assert reasons == {"This person is kept from the student, or has no right to the record."}
    assert told(home, HIS) == {}
    assert home.json("agreements")[0]["ended_at"] and home.json("consents", "list")[0]["revoked_at"]
    assert [one["contact"] for one in home.json("family", "restrictions")] == [mother]
    found = home.json("audit", "verify")
    assert found["holds"] is True and found["purged"] > 3, "a plan's acts, an entry, a consent, a disclosure"
    assert home.one("SELECT count(*) FROM act WHERE act IN ('restore', 'purge-again')") >= 2
    assert home.json("audit", "verify", "--head", kept, code=6)["holds"] is False

    newest = "SELECT max(seq) FROM act WHERE act = 'restore'"  # earlier drills restored, too
    home.sql(f"UPDATE act SET subject = subject || '.' WHERE seq = ({newest}) RETURNING seq")
    [broken] = home.json("audit", "verify", code=6)["breaks"]
    assert (broken["table"], broken["what"]) == ("act", "the row was changed")
    said = home.run("audit", "verify")
    assert said.returncode == 6 and f"act {broken['row']}" in said.stderr
