"""Contracts that all packages share: the audit spec, shards and splits, Arrow table schemas, errors and exit codes."""
