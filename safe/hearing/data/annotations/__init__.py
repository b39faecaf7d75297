"""Shared code of the annotation file readers."""
