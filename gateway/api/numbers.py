"""The numbers that Prometheus scrapes: read from the database at that moment, so that every process says the same."""

from collections.abc import Callable, Iterable
from datetime import datetime

from prometheus_client import PROCESS_COLLECTOR, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.status import ConnectionState
from gateway.store import states
from gateway.store.database import Store


async def exposition(store: Store, takeover_seconds: float) -> bytes:
    """Everything of the installation in the text format, with the process that answers."""
    connections = await states.read(store)
    load = await states.load(store, takeover_seconds)
    return generate_latest(_Numbers([*_connections(connections), *_load(load), *PROCESS_COLLECTOR.collect()]))


class _Numbers(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


OF_CONNECTIONS: dict[str, tuple[str, Callable[[ConnectionState], float | None]]] = {
    "good_sync_timestamp_seconds": ("When it had its last good sync.", lambda s: _epoch(s.good_at)),
    "silence_seconds": ("Time since then; blackouts do not count.", lambda s: s.silence.total_seconds()),
    "limit_seconds": ("Silence after which it is late.", lambda s: s.limit.total_seconds()),
    "late": ("1 while it is late.", lambda s: s.is_late()),
    "paused": ("1 while it waits for a person to mend it.", lambda s: s.paused_because is not None),
    "held": ("1 while a run of it waits for a decision.", lambda s: s.held_run is not None),
    "overwritten": ("Delivered objects that are not there any more as they were.", lambda s: s.overwritten),
    "removals_held": ("1 while removals of its last good sync wait for a decision.", lambda s: s.removals_held),
    "under_way": ("1 while it is pulled, or waits for a worker.", lambda s: s.under_way is not None),
    "failures": ("Failed pulls since its last good sync.", lambda s: s.failures),
    "next_due_timestamp_seconds": ("When its schedule pulls it next.", lambda s: _epoch(s.next_due_at)),
}


def _connections(found: Iterable[ConnectionState]) -> Iterable[Metric]:
    for name, (meaning, value) in OF_CONNECTIONS.items():
        metric = GaugeMetricFamily(f"planbridge_connection_{name}", meaning, labels=("district", "connection"))
        for state in found:
            number = value(state)
            if number is not None:
                metric.add_metric((state.district_name, state.name), float(number))
        yield metric


def _load(load: states.Load) -> Iterable[Metric]:
    yield GaugeMetricFamily("planbridge_workers", "Workers that live.", load.workers)
    yield GaugeMetricFamily("planbridge_jobs_waiting", "Jobs that no worker has begun.", load.waiting)
    yield GaugeMetricFamily("planbridge_jobs_under_way", "Jobs that a worker is at.", load.under_way)
    yield GaugeMetricFamily("planbridge_deliveries_parked", "Deliveries that wait for a person.", load.parked)
    runs = GaugeMetricFamily("planbridge_runs", "Runs there are, by state.", labels=("district", "connection", "state"))
    for district, connection, state, count in load.runs:
        runs.add_metric((district, connection, state), count)
    yield runs


def _epoch(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
