"""Preparation shared by all experiments: data, frozen models, their features. Needs no torch."""

from __future__ import annotations

from safe.digest import digest_file
from safe.errors import ConfigError
from safe.hearing.config import RunConfig
from safe.hearing.miniature.base import CARD, WEIGHTS

# Sections of the config that each command reads.
READS = {
    "data": ("seed", "world", "datasets"),
    "base": ("seed", "base", "device"),
    "features": ("seed", "adapter", "stage_a", "held_out", "device"),
}


def released_weights(config: RunConfig) -> str | None:
    """Return the digest of the released miniature's card; None if the base is not a miniature.

    The digest is a `params` entry of the rule, so the rule reruns when the weights change.

    Raises:
        ConfigError: the miniature has no card.
    """
    name = config.base.miniature
    if name is None:
        return None
    card = WEIGHTS / name / CARD
    if not card.is_file():
        raise ConfigError(
            "the released miniature has no card",
            where=card,
            key="base.miniature",
            hint="restore the folder with `git checkout`, or run `make miniature`",
        )
    return digest_file(card)
