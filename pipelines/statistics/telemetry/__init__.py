"""Statistics of training telemetry: pure functions that name their papers."""
