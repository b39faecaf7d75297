"""Audits of a manifest: DuckDB queries over Parquet, in memory independent of the data's size."""
