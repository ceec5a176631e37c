"""Loops over training telemetry: records of event files, local medians of series."""
