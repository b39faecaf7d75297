"""SAFE: add hearing to a frozen vision-language model, and prove nothing was lost."""

__version__ = "0.1.0"
