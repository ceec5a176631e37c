"""Vision transformers: their blocks, found by what a traced pass computes, and how tokens stand for patches."""
