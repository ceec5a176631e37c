"""Contaminated items of evaluations: joined from an audit, and what they do to the order of models."""
