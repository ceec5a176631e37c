"""What a traced forward pass shows of a model: its blocks, their parts, and how activations are arranged."""
