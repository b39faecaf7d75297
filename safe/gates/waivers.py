"""Read `config/waivers.yaml`: accepted exceptions for one measurement, with expiry dates."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from safe.digest import digest_json
from safe.errors import ConfigError
from safe.gates.criteria import line_of
from safe.gates.schema import CriteriaFile, Waiver
from safe.reading import explain_validation, read_yaml

LONGEST_DAYS = 366  # an exception is reviewed at least once a year
HINT = "see the example at the top of config/waivers.yaml"


def load_waivers(path: Path) -> list[Waiver]:
    """Read the waivers; an empty file gives an empty list.

    Raises:
        ConfigError: not a list, an unknown or missing key, or an invalid date.
    """
    values: Any = read_yaml(path)
    if values is None:
        return []
    if not isinstance(values, list):
        raise ConfigError("not a list of waivers", where=path, hint=HINT)
    waivers = []
    for index, entry in enumerate(values):
        if isinstance(entry, dict) and isinstance(entry.get("expires"), date):
            entry = {**entry, "expires": entry["expires"].isoformat()}  # YAML parses dates
        try:
            waivers.append(Waiver.model_validate(entry))
        except ValidationError as error:
            location = (index, *error.errors()[0]["loc"])
            raise ConfigError(
                explain_validation(error, Waiver, path),
                where=path,
                line=line_of(path, location),
                hint=HINT,
            ) from None
    return waivers


def check_waivers(waivers: Iterable[Waiver], files: Iterable[CriteriaFile], where: Path) -> None:
    """Check that the experiment and criterion of every waiver exist.

    Raises:
        ConfigError: one does not exist; names the waiver and the nearest known name.
    """
    known = {f.experiment: [c.id for c in f.criteria] for f in files}
    for waiver in waivers:
        for name, names, key in (
            (waiver.experiment, list(known), "experiment"),
            (waiver.criterion, known.get(waiver.experiment, []), "criterion"),
        ):
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                raise ConfigError(
                    f"a waiver by {waiver.author} names the {key} {name!r}, which does not exist",
                    where=where,
                    key=key,
                    hint=f"did you mean `{near[0]}`?" if near else "remove the waiver",
                )


def relevant(waivers: Iterable[Waiver], run: str, experiment: str) -> list[Waiver]:
    """Return the waivers for an experiment of a run, in a fixed order."""
    chosen = [w for w in waivers if (w.run, w.experiment) == (run, experiment)]
    return sorted(chosen, key=lambda w: (w.criterion, w.expires, w.author, w.evidence, w.reason))


def waivers_digest(waivers: Sequence[Waiver]) -> str:
    """Digest of waivers."""
    return digest_json([w.model_dump(mode="json") for w in waivers])


def invalid_reason(waiver: Waiver, evidence: str, today: date) -> str | None:
    """Return the reason why a waiver is invalid, or None."""
    expires = date.fromisoformat(waiver.expires)
    if expires < today:
        return f"it expired on {waiver.expires}"
    if (expires - today).days > LONGEST_DAYS:
        return f"it lasts until {waiver.expires}, more than {LONGEST_DAYS} days from now"
    if waiver.evidence != evidence:
        return "the evidence has changed since it was written"
    return None
