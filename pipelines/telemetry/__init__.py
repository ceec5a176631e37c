"""Training telemetry: from the logs of a run to canonical series with segments."""
