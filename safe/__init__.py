"""SAFE: add audio to a frozen vision-language model and verify that no ability is lost."""

__version__ = "0.1.0"
