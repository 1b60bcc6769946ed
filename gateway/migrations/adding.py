"""How a step of the schema adds tables: statements, then the district policy and the rights of the application role."""

from collections.abc import Iterable

from alembic import op

POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY district_only ON {table} TO planbridge_app
    USING (district_id = (SELECT nullif(current_setting('planbridge.district', true), '')::int));
"""


def apply(statements: str, *, districts: Iterable[str] = (), kept: Iterable[str] = ()) -> None:
    """Run a step's statements in the migration's transaction.

    `districts`: new tables with a district_id; the application sees the rows of its own district only.
    `kept`: those of them that are append-only for the application.
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
