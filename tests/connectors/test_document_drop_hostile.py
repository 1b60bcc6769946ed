"""A folder into which somebody else has put what means no good: nothing of it is followed, believed or passed on."""

import csv
import hashlib
import os
from pathlib import Path

import pytest

from connectors.document_drop.lines import COLUMNS, Line, decoded, encoded
from gateway import sftp
from gateway.errors import ConfigError
from tests.connectors.test_document_drop import ONE, TWO, Drop, document
from tests.sftp import login, served


@pytest.fixture
def local(tmp_path: Path) -> Drop:
    folder = tmp_path / "out"
    folder.mkdir()
    return Drop(folder, {"path": str(folder)})


async def test_files_at_a_server_are_for_its_owner_and_group_too(tmp_path: Path) -> None:
    (folder := tmp_path / "out").mkdir()
    async with served(tmp_path) as told:
        drop = Drop(folder, login(told))
        await drop.push(document())
    modes = {name: (folder / name).stat().st_mode & 0o777 for name in drop.names()}
    assert len(modes) == 4 and set(modes.values()) <= {0o640, 0o600}, modes


async def test_a_server_that_never_comes_to_an_end_of_a_list_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "out").mkdir()
    monkeypatch.setattr(sftp, "LARGEST_READ", 1000)
    (folder / "manifest.csv").write_bytes(b"x" * 2000)
    async with served(tmp_path) as told:
        with pytest.raises(ConfigError) as caught:
            await Drop(folder, login(told)).push(document())
    assert caught.value.code == "sftp-too-large"


async def test_links_and_pipes_in_the_place_of_lists_are_not_followed(local: Drop, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    forged = Line("77", TWO, "1", "2026-09-01", "", "", "", "x.pdf", "0" * 64, "2026-11-02T00:00:00.000000Z")
    secret.write_bytes(encoded([forged]))
    (local.folder / "manifest.csv").symlink_to(secret)
    (local.folder / forged.record).symlink_to(secret)
    os.mkfifo(local.folder / "flags.csv")
    await local.push(document())
    assert set(local.manifest()) == {ONE} and secret.read_bytes() == encoded([forged])
    assert not (local.folder / "manifest.csv").is_symlink() and (local.folder / "flags.csv").is_file()
    async with local.opened() as sink:
        [name] = local.pdfs()
        (local.folder / name).unlink()
        (local.folder / name).symlink_to(secret)
        sink.know(document(), name)
        assert await sink.read_back(document()) is None, "a link that somebody put there is no file of ours"


@pytest.mark.parametrize(
    "wrong",
    [
        {"student_id": '=HYPERLINK("https://evil.example.org")'},
        {"student_id": "\uff1dcmd()"},
        {"file": "../secret.csv"},
        {"file": "/etc/hostname"},
        {"withdrawn_on": "yesterday"},
        {"version": "one"},
        {"updated_at": "=1+1"},
        {"next_review_on": "@SUM(1)"},
        {"period_start": "2026-02-31"},
        {"sha256": "+1"},
        {"plan_id": "0" * 36},
    ],
)
async def test_a_record_that_somebody_made_up_stands_in_no_list(local: Drop, wrong: dict[str, str]) -> None:
    good = Line("77", TWO, "1", "2026-09-01", "", "", "", "x.pdf", "0" * 64, "2026-11-02T00:00:00.000000Z")
    assert decoded(encoded([good])) == [good]
    forged = good._replace(**wrong)
    digest = hashlib.sha256("\n".join(forged).encode()).hexdigest()[:16]
    with (local.folder / f"record-{forged.plan_id}-{digest}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, forged])
    await local.push(document())
    assert set(local.manifest()) == {ONE} and len(local.flags()) == 2
    assert all(word not in (local.folder / "manifest.csv").read_text() for word in wrong.values())
