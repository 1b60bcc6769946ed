"""An Ed-Fi server is changed while it is read, again and again: what is read after that is what it has."""

import asyncio
import os
import random
from collections import Counter
from contextlib import ExitStack

import pytest

from connectors.edfi.twin import twin
from gateway.http import MemoryTokens
from tests.connectors.test_edfi_changes import CHANGES, DISTRICT, PAGINGS, asked, follow, whole_once
from tests.proofs.record import proof
from tests.serving import serve

pytestmark = [pytest.mark.proof, pytest.mark.timeout(7200)]


def test_nothing_is_missed_while_the_server_changes() -> None:
    """Inserts, updates, deletes and key changes between the pages of whole pulls and of pulls of what changed."""
    seed, scripts = 20261128, int(os.environ.get("EDFI_LIVE_SCRIPTS", "300"))
    rng = random.Random(seed)
    with proof("edfi-live", seed=seed) as counts, ExitStack() as servers:
        # Each server is played on and on, script after script: to start one costs more than to change it.
        urls = {name: servers.enter_context(serve(twin(DISTRICT, **how))) for name, how in PAGINGS.items()}
        tokens = {name: MemoryTokens() for name in PAGINGS}
        changes: Counter[str] = Counter()
        runs: Counter[str] = Counter()
        for n in range(scripts):
            paging = sorted(PAGINGS)[n % len(PAGINGS)]
            script = [(rng.randrange(40), rng.choice(CHANGES)) for _ in range(rng.randint(1, 12))]
            how = {"snapshots": "snapshots" in PAGINGS[paging], "tokens": tokens[paging]}
            runs[paging] += asyncio.run(follow(urls[paging], script, **how))
            changes.update(name for _, change in script for name in change)
        counts |= {"scripts": scripts, "pulls": dict(runs), "changes": dict(sorted(changes.items()))}
        counts["requests_of_a_whole_pull"] = {}
        for paging, options in PAGINGS.items():
            with serve(twin(DISTRICT, **{**options, "page_limit": 20})) as url:
                rows = asyncio.run(whole_once(url))
                counts["requests_of_a_whole_pull"][paging] = {"requests": sum(asked(url).values()), "rows": rows}
