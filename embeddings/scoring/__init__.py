"""Scores explanations of units: does a text say where a unit fires?"""
