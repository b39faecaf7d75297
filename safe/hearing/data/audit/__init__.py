"""Audits of a manifest: DuckDB queries over Parquet, so that memory does not grow with the data."""
