"""Methods for images alone: backward rules, class activation maps, patches, activation maximisation."""
