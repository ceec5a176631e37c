"""What is counted: engine-free accumulators, one file a measure."""
