"""Mean accuracy by dataset, split and task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.hearing.evaluation.aggregate import accuracies

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "dataset": st.sampled_from(["a", "b"]),
            "split": st.just("test"),
            "task": st.sampled_from(["vl", "audio"]),
            "score": st.floats(0, 1),
        }
    ),
    max_size=30,
)


@given(ROWS)
def test_every_item_counts_once_in_total_and_once_in_its_task(rows):
    found = accuracies(rows)
    for dataset in ("a", "b"):
        own = [r["score"] for r in rows if r["dataset"] == dataset]
        if own:
            mean, n = found[dataset, "test", "accuracy"]
            assert n == len(own)
            assert mean == pytest.approx(sum(own) / n)
            tasks = [v[1] for k, v in found.items() if k[0] == dataset and "/" in k[2]]
            assert sum(tasks) == n


def test_no_rows_give_no_accuracies():
    assert accuracies([]) == {}
