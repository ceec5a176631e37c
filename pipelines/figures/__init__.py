"""From merged counters to published figures with their uncertainty."""
