"""The first thing that anybody tries."""

from tests.e2e.processes import Home


def test_the_demo_plays_to_its_end_and_leaves_no_database() -> None:
    with Home.made() as home:
        done = home.run("demo")
        assert done.returncode == 0, done.stdout + done.stderr
        played = [line for line in done.stdout.splitlines() if line in ("Pulled", "Held", "Refused", "Plan", "Next")]
        assert played == ["Pulled", "Held", "Refused", "Plan", "Next"]
        assert not (home.home / "postgres" / "cluster").exists()
