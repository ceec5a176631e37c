"""A Flink cluster of one's own, and what a run needs to use one."""
