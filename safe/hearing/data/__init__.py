"""Datasets: readers of public layouts, manifest, decoding, audits, sampling, feature store."""
