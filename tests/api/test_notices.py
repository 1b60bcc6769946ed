"""What the API tells of notices: what was said, not to whom."""

import httpx

from gateway import notify
from gateway.settings import Settings
from gateway.store import channels
from gateway.store.channels import parsed_morning
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import Bearer
from tests.api.world import PLANTED, World


async def test_a_notice_is_told_without_whom_it_was_sent_to(
    world: World, store: Store, settings: Settings, http: httpx.AsyncClient, bearer: Bearer, actor: Actor
) -> None:
    morning = parsed_morning("23:59", "UTC")
    await channels.add_email(store, world.district, "it@district.example.org", ["hold"], morning, actor)
    await notify.tell_and_send(store, settings, world.district)  # no mail server is configured: it waits
    answer = await http.get("/v1/notices", headers=await bearer(world.district, "notices.read"))
    held = next(notice for notice in answer.json() if notice["event"] == "hold")
    assert (held["run"], held["connection"]) == (world.held, "sis")
    assert (held["sent"], held["queued"], held["failed"]) == (0, 1, 0)
    assert set(held["message"]) == {"what_happened", "affected", "live_now", "to_do", "by_when"}
    assert "it@district.example.org" not in answer.text
    assert [word for word in PLANTED if word in answer.text] == []
