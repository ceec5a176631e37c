"""From the columns of parsed rows to a batch of documents: filter, text, labels."""
