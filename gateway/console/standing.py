"""What a connection's state means for whoever looks: one word for it, and which one thing to do next."""

from typing import Literal

from gateway.status import ConnectionState

Standing = Literal[
    "paused", "held", "failing", "removals", "late", "overwritten", "first", "under_way", "quiet", "shadow", "sends",
    "written", "good",
]  # fmt: skip
Tone = Literal["bad", "look", "good", "rest"]

TONES: dict[Standing, Tone] = {
    "paused": "bad",
    "held": "look",
    "failing": "bad",
    "removals": "look",
    "late": "bad",
    "overwritten": "look",
    "first": "look",
    "under_way": "rest",
    "quiet": "rest",
    "shadow": "rest",
    "sends": "good",
    "written": "good",
    "good": "good",
}
"""How the word is coloured; the word says the same to whoever sees no colours."""


Use = Literal["read", "sends", "written"]
"""What a connection is for: systems are read, plans are only sent to some, and programs write by others themselves."""


def standing(state: ConnectionState, use: Use = "read") -> Standing:
    """The most pressing thing about a connection: what a person must do comes before what passes by itself."""
    read = use == "read"
    said: list[tuple[Standing, bool]] = [
        ("paused", state.paused_because is not None),
        ("held", state.held_run is not None),
        ("failing", state.failing_since is not None),
        ("removals", state.removals_held),
        ("late", read and state.is_late()),
        ("overwritten", bool(state.overwritten)),
        ("under_way", state.under_way is not None),
        ("quiet", state.in_blackout),
        ("shadow", read and state.shadow),
        ("sends", use == "sends"),
        ("written", use == "written"),
        ("first", state.good_at is None),
    ]
    return next((name for name, so in said if so), "good")
