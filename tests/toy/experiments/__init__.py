"""The experiments of the toy pipeline."""
