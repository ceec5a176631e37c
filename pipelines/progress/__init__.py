"""The progress of a run, across threads and worker processes, and the time of its stages."""
