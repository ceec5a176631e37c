"""The section on what is in the corpus: tables, labels, charts."""
