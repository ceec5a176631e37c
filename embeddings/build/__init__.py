"""Builds an activation index from an audit's ``embedding:`` section, and the tables about its snapshot."""
