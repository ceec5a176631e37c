"""Images as documents: decoding under limits, and the integers that describe each."""
