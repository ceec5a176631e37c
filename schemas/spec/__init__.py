"""What ``audit.yaml`` and ``policy.yaml`` may say: strict, frozen pydantic models, read with line and column."""
