"""Plans as learning plans of a Moodle: out only."""

from pathlib import Path

from gateway.mapping import Mapping
from mappings.moodle.outbound import MoodleProfile, outbound

MAPPING = Mapping(
    name="moodle",
    version="1",
    inbound={},
    outbound=outbound,
    profile=MoodleProfile,
    # The name of a competency, which everybody who signs in may read.
    outward=r"[^<>&\"]{1,100}",
    crosswalks=Path(__file__).parent / "crosswalks",
)
