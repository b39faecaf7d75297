"""Metrics and evaluators; nothing here knows how a model was trained."""
