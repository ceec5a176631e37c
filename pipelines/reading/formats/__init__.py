"""Splits of each format and reading one: Parquet, JSON lines, Arrow IPC."""
