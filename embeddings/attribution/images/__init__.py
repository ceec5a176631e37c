"""Attribution for images: which pixels make a unit of a network fire, and synthetic images that maximise it."""
