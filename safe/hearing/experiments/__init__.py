"""One module per experiment: `METRICS` and `measure(context) -> list[Metric]`."""
