"""How a step of the schema adds tables: statements, then the district policy and the rights of the application role."""

from collections.abc import Iterable, Mapping

from alembic import op

POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY district_only ON {table} TO planbridge_app
    USING (district_id = (SELECT nullif(current_setting('planbridge.district', true), '')::int));
"""
# What is there already comes first, in the order of its keys.
SEAL = """
INSERT INTO unsealed (district_id, tab, ref)
SELECT t.district_id, '{table}', CAST(t.{key} AS text) FROM {table} t
JOIN district d ON d.id = t.district_id ORDER BY t.{key};
CREATE TRIGGER to_seal AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION planbridge_to_seal('{key}');
"""


def apply(
    statements: str,
    *,
    districts: Iterable[str] = (),
    kept: Iterable[str] = (),
    sealed: Mapping[str, str] | None = None,
) -> None:
    """Run a step's statements in the migration's transaction.

    `districts`: new tables with a district_id; the application sees the rows of its own district only.
    `kept`: those of them that are append-only for the application.
    `sealed`: tables of acts and their key: rows go into the chain of gateway.store.chain, which names them too.
    """
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(statements)
    for table in districts:
        driver.execute(POLICY.format(table=table))
        driver.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO planbridge_app")
    for table in kept:
        driver.execute(f"REVOKE UPDATE, DELETE ON {table} FROM planbridge_app")
    driver.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO planbridge_app")
    for table, key in (sealed or {}).items():
        driver.execute(SEAL.format(table=table, key=key))
