"""The process of a run: interrupts, locks, logs, progress."""
