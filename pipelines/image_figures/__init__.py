"""Published figures of image corpora."""
