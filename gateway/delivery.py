"""stub"""


async def deliver(store, district, id): ...
