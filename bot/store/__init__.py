"""What is kept: tables, queries, migrations and the embedded PostgreSQL."""
