"""Results of jobs are read back; a missing one names the job to run."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safe.digest import digest_file
from safe.errors import EvidenceError
from safe.hearing.config import load_run_config
from safe.hearing.context import Context
from safe.pipeline.job_results import RESULT, read_job, read_rows
from tests.paths import ROOT


@pytest.fixture
def context(tmp_path):
    return Context(load_run_config(ROOT / "config" / "config.yaml"), tmp_path / "09_retention")


def test_result_and_its_rows_are_read(context):
    job_folder = context.folder / "jobs" / "none"
    job_folder.mkdir(parents=True)
    (job_folder / RESULT).write_text('{"diverged": null}')
    pq.write_table(pa.table({"id": ["a", "b"]}), job_folder / "items.parquet")
    folder, result = read_job(context, "none")
    assert result == {"diverged": None}
    assert context.digests == {"job none": digest_file(job_folder / RESULT)}
    assert read_rows(folder, "items.parquet") == [{"id": "a"}, {"id": "b"}]


@pytest.mark.parametrize("text", [None, "", "{", "[]", "\xff"])
def test_unreadable_result_is_named_with_its_hint(context, text):
    job_folder = context.folder / "jobs" / "none"
    job_folder.mkdir(parents=True)
    if text is not None:
        (job_folder / RESULT).write_text(text, encoding="latin-1")
        (job_folder / "items.parquet").write_text(text, encoding="latin-1")
    with pytest.raises(
        EvidenceError, match=r"'none' was not run.*\n.*safe run-job 09_retention none"
    ):
        read_job(context, "none")
    with pytest.raises(EvidenceError, match=r"'none' was not run.*"):
        read_rows(job_folder, "items.parquet")
    assert context.digests == {}
