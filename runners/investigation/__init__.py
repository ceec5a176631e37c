"""An investigation, from its spec to a published directory of findings."""
