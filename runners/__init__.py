"""Entry points: command line, engines, progress, demo, doctor."""
