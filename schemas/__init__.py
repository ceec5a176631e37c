"""The contracts everybody shares: the audit spec, shards and splits, Arrow table schemas, errors and exit codes."""
