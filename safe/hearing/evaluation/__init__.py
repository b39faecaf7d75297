"""Metrics and evaluators, independent of how a model was trained."""
