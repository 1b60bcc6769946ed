"""What is installed: bounds that keep one HTTP library, and a lock that can be installed anywhere from what it says."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WANTED = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = {
    canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^ ;\\]+)", LOCK, re.MULTILINE)
}


def test_httpx_and_authlib_stay_where_they_fit_together() -> None:
    bounds = {wanted.name: str(wanted.specifier) for wanted in WANTED}
    assert bounds["httpx"] == "<0.29,>=0.28"
    assert bounds["authlib"] == "<1.10,>=1.9"
    assert "httpx2" not in LOCKED


def test_the_lock_holds_what_the_project_asks_for() -> None:
    assert [
        str(wanted) for wanted in WANTED if not wanted.specifier.contains(LOCKED[canonicalize_name(wanted.name)])
    ] == []


def test_every_locked_package_has_hashes_and_comes_from_the_usual_place() -> None:
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) == len(LOCKED) > 50
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "index-url" not in LOCK and "://" not in LOCK
