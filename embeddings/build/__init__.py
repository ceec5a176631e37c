"""From an audit's ``embedding:`` section to a published index, and what it says of the snapshot."""
