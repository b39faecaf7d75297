"""Measures a share."""

METRICS = {"share": {"unit": "fraction", "low": -1.0, "high": 1.0}}
