"""The committed schemas and the settings reference are current."""

from typing import Any

import pytest

from safe.pipeline.definition import config_model
from safe.schemas import PACKAGE, REFERENCE, generated, meaning
from tests.paths import ROOT


@pytest.mark.parametrize("path", sorted(generated()), ids=str)
def test_generated_file_is_current(path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == generated()[path], (
        "run: python -m safe.schemas"
    )


def _fields(model: Any) -> list[tuple[str, Any]]:
    found = []
    for name, field in model.model_fields.items():
        found.append((f"{model.__name__}.{name}", field))
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if hasattr(kind, "model_fields"):
                found += _fields(kind)
    return found


def test_every_setting_is_described_and_in_the_reference() -> None:
    fields = _fields(config_model(PACKAGE))
    assert len(fields) > 150
    assert [name for name, field in fields if not field.description] == []
    text = (ROOT / REFERENCE).read_text()
    assert [n for n, f in fields if meaning(f) not in text] == []
