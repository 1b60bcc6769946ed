import re
from tests.console.conftest import Office, NAMES


async def test_try(office: Office) -> None:
    it = await office.person("it")
    for p in (
        "/console",
        "/console/",
        "/console/runs",
        f"/console/runs/{office.held}",
        f"/console/runs/{office.first}",
        f"/console/runs/{office.first}/undo",
        "/console/connect",
        "/console/connect/oneroster",
        "/console/connect/edfi",
        f"/console/connections/{office.school.connection}",
        "/console/assets/pico.css",
        "/console/nothing",
        "/console/runs/99999",
    ):
        a = await it.get(p)
        print(p, a.status_code, len(a.text), dict(a.headers) if p == "/console/" else a.headers.get("location"))
    t = await it.get("/console/")
    print(t.text)
    t = await it.get(f"/console/runs/{office.held}")
    print(t.text)
    assert 0
