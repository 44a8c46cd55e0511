"""files of cases"""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('case_file',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('case_number', sa.Integer(), nullable=False),
    sa.Column('message_id', sa.BigInteger(), nullable=True),
    sa.Column('line_id', sa.BigInteger(), nullable=True),
    sa.Column('place', sa.Integer(), server_default='0', nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('content_type', sa.String(length=100), server_default='', nullable=False),
    sa.Column('size', sa.Integer(), server_default='0', nullable=False),
    sa.Column('content_id', sa.Uuid(), nullable=True),
    sa.Column('url', sa.Text(), server_default='', nullable=False),
    sa.Column('slack_id', sa.String(length=32), server_default='', nullable=False),
    sa.Column('state', sa.String(length=8), server_default='coming', nullable=False),
    sa.Column('why', sa.String(length=16), server_default='', nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("state in ('coming', 'here', 'gone', 'lost')", name=op.f('ck_case_file_state')),
    sa.ForeignKeyConstraint(['case_number'], ['case.number'], name=op.f('fk_case_file_case_number'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['content_id'], ['secret.id'], name=op.f('fk_case_file_content_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(
        ['conversation_id'], ['conversation.id'], name=op.f('fk_case_file_conversation_id'), ondelete='CASCADE'
    ),
    sa.ForeignKeyConstraint(['line_id'], ['staff_line.id'], name=op.f('fk_case_file_line_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['message_id'], ['message.id'], name=op.f('fk_case_file_message_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_case_file'))
    )
    op.create_index(op.f('ix_case_file_conversation_id_at'), 'case_file', ['conversation_id', 'at'], unique=False)
    for column in ('case_number', 'message_id', 'line_id'):
        op.create_index(op.f(f'ix_case_file_{column}'), 'case_file', [column], unique=False)
    op.create_table('media_token',
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('case_file_id', sa.Uuid(), nullable=False),
    sa.Column('until', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(
        ['case_file_id'], ['case_file.id'], name=op.f('fk_media_token_case_file_id'), ondelete='CASCADE'
    ),
    sa.PrimaryKeyConstraint('hash', name=op.f('pk_media_token'))
    )
    for column in ('case_file_id', 'until'):
        op.create_index(op.f(f'ix_media_token_{column}'), 'media_token', [column], unique=False)
    op.create_table('staff_part',
    sa.Column('promise_id', sa.BigInteger(), nullable=False),
    sa.Column('line_id', sa.BigInteger(), nullable=False),
    sa.Column('case_file_id', sa.Uuid(), nullable=True),
    sa.Column('words', sa.Text(), nullable=False),
    sa.Column('fate', sa.String(length=10), server_default='leaving', nullable=False),
    sa.ForeignKeyConstraint(
        ['case_file_id'], ['case_file.id'], name=op.f('fk_staff_part_case_file_id'), ondelete='CASCADE'
    ),
    sa.ForeignKeyConstraint(['line_id'], ['staff_line.id'], name=op.f('fk_staff_part_line_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('promise_id', name=op.f('pk_staff_part'))
    )
    op.create_index(op.f('ix_staff_part_line_id'), 'staff_part', ['line_id'], unique=False)
    op.execute("update compatible set schema = 10, oldest_code = 1")


def downgrade() -> None:
    for table in ('staff_part', 'media_token', 'case_file'):
        op.drop_table(table)
    op.execute("update compatible set schema = 9, oldest_code = 1")
