"""The committed schemas are the ones that the models generate."""

import pytest

from safe.schemas import schema_texts
from tests.paths import ROOT

FOLDER = ROOT / "workflow" / "schemas"


@pytest.mark.parametrize("name", sorted(schema_texts()))
def test_schema_is_current(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == schema_texts()[name], (
        "run: python -m safe.schemas workflow/schemas"
    )
