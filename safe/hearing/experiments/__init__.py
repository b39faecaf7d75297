"""One package per experiment: `METRICS`, `EXPERIMENT`, `measure(context) -> list[Metric]`."""
