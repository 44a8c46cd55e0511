"""How PostgreSQL keeps tables for which its defaults are wrong, each with its reason; for all others they are right.

By default autovacuum comes when a fifth of a table is dead. A test holds that the database has what stands here.
https://www.postgresql.org/docs/18/sql-createtable.html#SQL-CREATETABLE-STORAGE-PARAMETERS
"""

from collections.abc import Mapping

SOON = "0.02"  # of a table is dead: vacuum it

STORAGE: Mapping[str, Mapping[str, str]] = {
    # Written anew by each turn, no index with it, if its page has room for that (a heap-only tuple): then the next
    # reader tidies up, and no index grows. Saved states that do not fit into the page lie beside the table ("toast").
    "conversation": {"fillfactor": "80", "toast.autovacuum_vacuum_scale_factor": SOON},
    "contact": {"fillfactor": "80"},
    # Each of our lines is written anew by each of its callbacks (sent, delivered, read), none of which is in an index.
    # Set on each month; what is deleted in the oldest goes with the month soon, and is worth no vacuum of its own.
    "message": {"fillfactor": "85"},
    # Claimed and ended within a second of being made. Each time it moves from one partial index to another, and whoever
    # looks for what is due walks over the dead until a vacuum; in a table of a week that would be a day and a half.
    "promise": {"autovacuum_vacuum_scale_factor": SOON, "autovacuum_analyze_scale_factor": SOON},
    # Counted up at every try, and its end, which is in an index, moves each time.
    "limit_hit": {"autovacuum_vacuum_scale_factor": SOON},
    # Mails and files lie sealed here for minutes, megabytes each: a fifth of that is too much to leave lying.
    "secret": {"toast.autovacuum_vacuum_scale_factor": SOON},
}


def options(settings: Mapping[str, str]) -> str:
    """Settings as `create table … with (…)` and `alter table … set (…)` take them."""
    return ", ".join(f"{name} = {value}" for name, value in settings.items())
