"""Rules beyond the configured identifier: off until switched on, exact and unique or not at all."""

from gateway import waiting
from gateway.store.database import Store
from tests.identity.rosters import ADA, BEN, FILLERS, System, again, denoted, waits

ADA_OF_THE_STATE = again(ADA, key=ADA.key, state="S-77")


async def test_a_rule_links_only_once_it_is_on_and_its_link_stays_when_it_is_off(
    store: Store, district: int, sis: System, vendor: System
) -> None:
    await sis.says(ADA_OF_THE_STATE, BEN, *FILLERS)
    await vendor.says(again(ADA_OF_THE_STATE, key="v-ada", number="", given="Adah"))
    assert await waits(store, district) == {("vendor", "v-ada"): "unmatched"}
    await waiting.set_rule(store, district, "state-id", ["State"], sis.actor)
    await vendor.says(again(ADA_OF_THE_STATE, key="v-ada", number="", given="Adah"))
    links = await denoted(store, district)
    assert links["vendor", "v-ada"] == links["sis", "k-ada"]
    await waiting.set_rule(store, district, "state-id", [], sis.actor)
    await sis.says(ADA_OF_THE_STATE, BEN, *FILLERS)
    assert await denoted(store, district) == links


async def test_what_is_not_unique_on_either_side_is_not_linked(
    store: Store, district: int, sis: System, vendor: System
) -> None:
    await waiting.set_rule(store, district, "state-id", ["State"], sis.actor)
    twin = again(ADA_OF_THE_STATE, key="k-twin", given="Beata", number="0007")
    await sis.says(ADA_OF_THE_STATE, twin, again(BEN, key=BEN.key, state="S-88"), *FILLERS)
    ben = again(BEN, number="", state="S-88")
    await vendor.says(again(ADA, number="", state="S-77"), ben, again(ben, key="v-ben2"))
    assert set(await waits(store, district)) == {("vendor", key) for key in ("v-ada", "v-ben", "v-ben2")}


async def test_a_zero_or_a_day_more_is_another_number_and_another_child(
    store: Store, district: int, sis: System, vendor: System
) -> None:
    for rule in ("state-id", "district-id"):
        await waiting.set_rule(store, district, rule, ["State"], sis.actor)
    await sis.says(again(ADA, key=ADA.key, state="077"), again(BEN, key=BEN.key, state="88"), *FILLERS)
    await vendor.says(
        again(ADA, number="", state="77"),
        again(BEN, number="", state="88", birth="2013-07-10"),
    )
    assert set(await waits(store, district)) == {("vendor", "v-ada"), ("vendor", "v-ben")}


async def test_the_name_counts_where_the_rule_asks_for_it(
    store: Store, district: int, sis: System, vendor: System
) -> None:
    await waiting.set_rule(store, district, "district-id", ["Local"], sis.actor)
    await sis.says(again(ADA, key=ADA.key, local="5"), again(BEN, key=BEN.key, local="6"), *FILLERS)
    await vendor.says(again(ADA, number="", local="5"), again(BEN, number="", local="6", given="Benno"))
    assert await waits(store, district) == {("vendor", "v-ben"): "unmatched"}
