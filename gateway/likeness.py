"""How likely it is that two records are one person: scores by Splink, which propose and never link.

Optional: `pip install 'planbridge[identity]'`. Splink runs inside this process on a DuckDB in memory that may neither
read a file nor load anything from the network. The weights are fixed and stand below; nothing is learnt from a
district's children.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.candidates import NAMES, bare, numbers, spelt
from gateway.errors import ConfigError
from gateway.fold import Doc

SHOWN_FROM = 0.5
"""Proposals below this likelihood are not made."""
PRIOR = 0.001
"""How likely it is that two records are one person who have the same birth date, the same name or the same number, and
of whom nothing else is known; such pairs alone are compared."""


@dataclass(frozen=True)
class Likeness:
    """How likely a pair is one person, from 0 to 1; `weights` says which fields speak for it (above 0) and which
    against it, in bits (+1 doubles the odds)."""

    score: float
    weights: dict[str, float]


def likenesses(pairs: Sequence[tuple[Doc, Doc, Collection[str]]]) -> list[Likeness]:
    """Score each pair of a waiting person, a published one and the identifier systems that count of the first.

    ConfigError where the extra is not installed. Nothing is logged.
    """
    if not pairs:
        return []
    try:
        import duckdb
        from splink import DuckDBAPI, Linker
    except ImportError:
        raise ConfigError(
            "extra-missing",
            "Proposals by likeness need a part of Planbridge that is not installed.",
            "Install it: pip install 'planbridge[identity]'",
        ) from None
    with duckdb.connect(":memory:", config=_CLOSED) as database:
        for table, rows in (("theirs", [_theirs(*pair) for pair in pairs]), ("ours", [_ours(*pair) for pair in pairs])):
            database.execute(_TABLE.format(table=table), [list(column) for column in zip(*rows, strict=True)])
        api = DuckDBAPI(database)
        linker = Linker([api.register("theirs"), api.register("ours")], _model(), log_level=None)
        found = linker.inference.predict().as_record_list()
    return [_likeness(row) for row in sorted(found, key=lambda row: int(row["unique_id_l"]))]


_CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
}
_TABLE = (
    "CREATE TABLE {table} AS SELECT row_number() OVER () AS unique_id, unique_id AS pair, * FROM (SELECT "
    "unnest(CAST(? AS VARCHAR[])) AS given, unnest(CAST(? AS VARCHAR[])) AS family, unnest(CAST(? AS VARCHAR[])) AS "
    "birth, unnest(CAST(? AS VARCHAR[])) AS number, unnest(CAST(? AS VARCHAR[])) AS sex)"
)


def _theirs(theirs: Doc, ours: Doc, systems: Collection[str]) -> tuple[str | None, ...]:
    return _row(theirs, {bare(one) for one in numbers(theirs, systems)}, {bare(one) for one in numbers(ours)})


def _ours(theirs: Doc, ours: Doc, systems: Collection[str]) -> tuple[str | None, ...]:
    return _row(ours, {bare(one) for one in numbers(ours)}, {bare(one) for one in numbers(theirs, systems)})


def _row(doc: Doc, own: set[str], other: set[str]) -> tuple[str | None, ...]:
    """Names, birth date, the one number to compare (one they share, if there is any), sex."""
    number = next(iter(sorted(own & other - {""}) or sorted(own - {""})), None)
    given, family = (spelt(doc.get(name)) or None for name in NAMES)
    return given, family, doc.get("birth_date"), number, doc.get("sex")


def _model() -> Any:
    """The comparisons with their weights: how often (in parts of 1) a level is seen where two records are one person,
    and how often where they are not. The u of names and birth dates are those of a district of a few thousand."""
    import splink.comparison_level_library as level
    from splink import SettingsCreator, block_on
    from splink.comparison_library import CustomComparison, DateOfBirthComparison, ExactMatch

    names = CustomComparison(
        output_column_name="names",
        comparison_levels=[
            level.Or(level.NullLevel("given"), level.NullLevel("family")),
            level.And(level.ExactMatchLevel("given"), level.ExactMatchLevel("family")),
            level.ColumnsReversedLevel("given", "family", symmetrical=True),
            level.And(level.JaroWinklerLevel("given", 0.88), level.JaroWinklerLevel("family", 0.88)),
            # Brothers and sisters, twins above all, share a family name; a family name may change.
            level.ExactMatchLevel("family"),
            level.ExactMatchLevel("given"),
            level.ElseLevel(),
        ],
    ).configure(
        m_probabilities=[0.80, 0.03, 0.10, 0.005, 0.05, 0.015],
        u_probabilities=[0.0003, 0.0003, 0.001, 0.05, 0.005, 0.9434],
    )
    birth = DateOfBirthComparison("birth", input_is_string=True).configure(
        m_probabilities=[0.93, 0.04, 0.005, 0.005, 0.01, 0.01],
        u_probabilities=[0.0003, 0.003, 0.0137, 0.14, 0.703, 0.14],
    )
    number = CustomComparison(
        output_column_name="number",
        comparison_levels=[
            level.NullLevel("number"),
            level.ExactMatchLevel("number"),
            # No level for numbers that are nearly the same: twins are entered one after the other. And an exact one
            # weighs less than a name with its birth date: numbers are mixed up, and given again.
            level.ElseLevel(),
        ],
    ).configure(m_probabilities=[0.80, 0.20], u_probabilities=[0.001, 0.999])
    sex = ExactMatch("sex").configure(m_probabilities=[0.98, 0.02], u_probabilities=[0.5, 0.5])
    return SettingsCreator(
        link_type="link_only",
        comparisons=[names, birth, number, sex],
        blocking_rules_to_generate_predictions=[block_on("pair")],
        probability_two_random_records_match=PRIOR,
        retain_intermediate_calculation_columns=True,
        retain_matching_columns=False,
    )


def _likeness(row: dict[str, Any]) -> Likeness:
    fields = {"names": "mw_names", "birth_date": "mw_birth", "number": "mw_number", "sex": "mw_sex"}
    return Likeness(row["match_probability"], {name: round(row[column], 1) for name, column in fields.items()})
