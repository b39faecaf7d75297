"""Confidence intervals of measured values, computed with scipy and statsmodels.

Functions raise ValueError for too little data, where the usual method would return an interval of
width zero, which a gate would treat as certainty. If the data show no variation, an exact interval
replaces the bootstrap; ValueError is raised if there is none.
"""

from safe.gates.statistics.bootstrap import (
    cluster_bootstrap,
    mean_interval,
    paired_difference,
    ratio_bootstrap,
)
from safe.gates.statistics.components import SeedComponents, seed_components
from safe.gates.statistics.paired import McNemar, mcnemar_exact
from safe.gates.statistics.proportions import exact, exact_equality, wilson
from safe.gates.statistics.ranks import (
    auroc,
    auroc_interval,
    quantile_interval,
    rank_correlation,
    sd_interval,
)

__all__ = [
    "McNemar",
    "SeedComponents",
    "auroc",
    "auroc_interval",
    "cluster_bootstrap",
    "exact",
    "exact_equality",
    "mcnemar_exact",
    "mean_interval",
    "paired_difference",
    "quantile_interval",
    "rank_correlation",
    "ratio_bootstrap",
    "sd_interval",
    "seed_components",
    "wilson",
]
