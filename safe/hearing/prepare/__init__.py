"""What experiments share is made once: data, frozen models, their features. Needs no torch."""

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
    """Digest of the card of the released base; None where the base is given.

    A param of the rule, so that other weights rerun it.

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
