"""Findings from evaluations beyond scores: agents, refusals and harm, passes, noise of checkpoints and seeds."""
