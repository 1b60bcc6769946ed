"""Plans out to platforms that open our tool by LTI; nothing comes in."""

from pathlib import Path

from gateway.mapping import Mapping
from mappings.lti.outbound import CommentProfile, outbound

MAPPING = Mapping(
    name="lti",
    version="1",
    inbound={},
    outbound=outbound,
    profile=CommentProfile,
    crosswalks=Path(__file__).parent / "crosswalks",
)
