"""The scan of documents for n-grams of benchmark texts."""
