"""Calibration of the drift statistics: rejection rates, coverage and power where the truth is known."""
