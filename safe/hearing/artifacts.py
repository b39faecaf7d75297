"""Files that are made once and shared by experiments, relative to results/RUN."""

DATA = "data/data.json"
MANIFEST = "data/manifest.parquet"
MEDIA = "data/media.parquet"
BASE = "base.json"
FEATURES = "features.json"
PILOT_ADAPTER = "04_stage_a_pilot/jobs/distilled/adapter"
RETENTION_START = "09_retention/jobs/start/adapter"
