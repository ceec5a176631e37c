"""Characters, words, normal forms, n-grams and hashes of UTF-8 text."""
