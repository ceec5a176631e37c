"""The report: one self-contained page, and the summary for a terminal."""
