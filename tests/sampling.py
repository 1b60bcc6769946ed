"""Which cases `make test` draws where tests play every quirk, release or route, and which of the long files: fresh each
time."""

import os
import random
from collections.abc import Mapping, Sequence

import pytest

SHARES: Mapping[str, float] = {
    "tests/api/test_exposure.py": 0.2,
    "tests/api/test_oneroster.py": 0.3,
    "tests/api/test_oneroster_filters.py": 0.4,
    "tests/connectors/test_edfi.py": 0.2,
    "tests/connectors/test_edfi_changes.py": 0.25,
    "tests/connectors/test_edfi_openapi.py": 0.3,
    "tests/connectors/test_edfi_reading.py": 0.3,
    "tests/connectors/test_oneroster.py": 0.25,
    "tests/connectors/test_oneroster_changes.py": 0.3,
    "tests/connectors/test_oneroster_dialects.py": 0.2,
    "tests/delivering/test_throttled.py": 0.25,
    "tests/destinations/test_every_destination.py": 0.4,
    "tests/destinations/test_planted.py": 0.4,
    "tests/e2e/test_assessment_files.py": 0.5,
    "tests/e2e/test_delivery.py": 0.4,
    "tests/e2e/test_edfi_standards.py": 0.5,
    "tests/e2e/test_export.py": 0.4,
    "tests/e2e/test_two_sources.py": 0.4,
    "tests/mappings/test_edfi_outbound.py": 0.5,
    "tests/store/test_reach.py": 0.4,
    "tests/synthetic/test_faults.py": 0.4,
    "tests/twins/test_edfi_rows.py": 0.3,
    "tests/twins/test_edfi_twin.py": 0.2,
    "tests/twins/test_edfi_twin_access.py": 0.3,
    "tests/twins/test_edfi_twin_releases.py": 0.2,
    "tests/twins/test_edfi_twin_writing.py": 0.2,
    "tests/twins/test_oneroster_twin.py": 0.4,
    "tests/twins/test_oneroster_twin_access.py": 0.4,
    "tests/twins/test_oneroster_twin_quirks.py": 0.2,
    "tests/twins/test_oneroster_twin_versions.py": 0.4,
    "tests/twins/test_oneroster_twin_writing.py": 0.4,
}
"""File -> the share of its cases; a test that stands alone always runs. Without a seed, as in `make proof`, all do."""

LONG: Sequence[str] = (
    *(
        f"tests/e2e/test_{name}.py"
        for name in (
            *("bad_input", "canvas", "changes_conflict", "changes_only", "contract_traffic", "crash", "crash_push"),
            *(
                "delivery",
                "disasters",
                "doctor",
                "document_drop",
                "drill",
                "edfi_changes_only",
                "edfi_extension",
                "edfi_identity",
                "edfi_planted",
            ),
            *("edfi_standards", "edfi_vendors", "edfi_writing", "faulted", "full_disk", "gradebook", "guards"),
            *(
                "history",
                "leaks",
                "lti_delivery",
                "memory",
                "moodle",
                "needs",
                "newcomer",
                "notices",
                "proxy",
                "real_input",
                "service",
            ),
            *("two_sources", "verification", "wholes", "workers", "year", "year_change"),
        )
    ),
    *(f"tests/store/test_{name}.py" for name in ("attention", "backups", "embedded", "purges")),
    *(f"tests/api/test_{name}.py" for name in ("answers", "plan_life", "sandbox")),
    "tests/identity/test_decisions.py",
    *(f"tests/connectors/test_{name}.py" for name in ("assessment_files", "edfi_changes", "oneroster_files")),
)
"""Files that each take the better part of a minute: every draw takes a third of them."""


def seed() -> str:
    """What the draw is made by: `make test` says it, and takes it to repeat one. Empty: everything runs."""
    return os.environ.get("PLANBRIDGE_TEST_SEED", "")


def left_out(items: Sequence[pytest.Item], drawn_by: str) -> set[str]:
    """The node ids that this draw leaves out."""
    resting = tuple(f"{file}::" for file in random.Random(f"{drawn_by}/long").sample(LONG, 2 * len(LONG) // 3))
    found = {item.nodeid for item in items if item.nodeid.startswith(resting)}
    for file, share in SHARES.items():
        ids = sorted(i.nodeid for i in items if i.nodeid.startswith(f"{file}::") and i.nodeid.endswith("]"))
        keep = max(1, round(share * len(ids)))
        found.update(set(ids) - set(random.Random(f"{drawn_by}/{file}").sample(ids, min(keep, len(ids)))))
    return found
