"""Attribution: which positions of an input make a unit's activation, and synthetic inputs that maximise it."""
