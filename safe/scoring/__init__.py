"""Scoring result files in the datasets' official formats: `safe score`."""
