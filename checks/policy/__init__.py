"""From a policy and a run's figures to judgements and a verdict."""
