"""${message}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
    # Say which schema stands here now, and the oldest code that may still work on it:
    # op.execute("update compatible set schema = N, oldest_code = M")


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
