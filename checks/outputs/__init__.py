"""What other programs read of a run: JUnit, SARIF, Markdown, OpenLineage, Croissant, a draft dataset card."""
