"""The launch checklist page: complete, self-contained, and correct for every state of a run."""

from __future__ import annotations

import base64
import json
import re
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.gates.criteria import load_all
from safe.gates.judge import judge
from safe.gates.pipeline import load_pipeline
from safe.gates.run import GateRun, judge_experiment, open_gate_run
from safe.gates.schema import Interval, Metric
from safe.report import format as fmt
from safe.report.page import render
from safe.report.svg import interval_bar
from tests.unit.gates.builders import (
    CRITERIA,
    NAMES,
    copy_criteria,
    criteria_of,
    criterion,
    make_run,
    measure_again,
    measurement,
)
from tests.unit.gates.builders import metric as metric_of

BAD_LOSS = Metric(name="loss", value=0.21, unit="nats", n=512, provenance="measured")
VOID = {"meta", "link", "img", "br", "hr", "input"}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
IN_A_MONTH = (date.today() + timedelta(days=30)).isoformat()


class Page(HTMLParser):
    """Collects ids, text and addresses of a page, and checks that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.open, self.ids, self.requests, self.links = "", [], [], [], []
        self.tags: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a":
            self.links.append(values["href"])
        else:
            self.requests += [v for k, v in attrs if k in ("src", "href", "srcset", "data")]
        assert not any(name.startswith("on") for name in values)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


def gates_of(run: Path, criteria: Path = CRITERIA) -> GateRun:
    return open_gate_run(run, criteria=criteria, lenient=True)


def page_of(run: Path, criteria: Path = CRITERIA) -> Page:
    path = render(gates_of(run, criteria))
    assert path == run / "launch_checklist.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert all(str(r).startswith("data:image/") for r in page.requests)
    assert not re.search(r"url\(|@import|https?://", path.read_text(encoding="utf-8"))
    assert len(page.ids) == len(set(page.ids))
    targets = [str(link)[1:] for link in page.links if str(link).startswith("#")]
    assert set(targets) <= set(page.ids)
    return page


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "results" / "trial")


def edit(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | changes))


def test_page_shows_items_experiments_and_every_criterion(run: Path) -> None:
    page = page_of(run)
    for item in load_pipeline(CRITERIA).launch_items.values():
        assert item.title in page.text
        assert item.claim in page.text
    for criteria in load_all(CRITERIA):
        assert criteria.title in page.text
        assert criteria.experiment in page.ids
        assert {c.id for c in criteria.criteria} <= set(page.ids)
        for item in criteria.criteria:
            assert item.claim in page.text
    assert "3 of 11 required experiments" in page.text
    assert "NO-GO" in page.text
    assert "World seed" in page.text
    assert "miniature" in page.text
    assert "cccccccccccc" in page.text  # the commit


def test_values_are_shown_with_bound_plan_interval_and_evidence(run: Path) -> None:
    page = page_of(run)
    assert "needs ≥ 95\N{NO-BREAK SPACE}%" in page.text
    assert "95\N{NO-BREAK SPACE}% interval 96.99\N{NO-BREAK SPACE}%" in page.text
    assert "Scaled for this run." in page.text
    assert "The plan requires between 10,000,000 and 50,000,000" in page.text
    assert "01_data_preflight/measurement.json" in page.links
    assert "svg" in page.tags


def test_no_go_shows_its_value_and_blocks_the_rest(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path / "r", replace={"03.loss": BAD_LOSS}))
    assert "03.loss = 0.21 nats, needs <= 0.05" in page.text
    assert "waits for 03_tiny_overfit" in page.text
    assert page.text.count("Blocked") >= 9
    assert "safe explain 03" in page.text


@pytest.mark.parametrize("count", [0, 1, 2])
def test_unfinished_run_shows_what_is_not_run(tmp_path: Path, count: int) -> None:
    page = page_of(make_run(tmp_path / "r", names=NAMES[:count]))
    assert "Not run" in page.text
    assert f"{count} of 11 required" in page.text


def test_missing_results_and_criteria_still_give_a_page(tmp_path: Path) -> None:
    assert "0 of 11" in page_of(tmp_path / "never").text
    (tmp_path / "empty").mkdir()
    page = page_of(tmp_path / "never", tmp_path / "empty")
    assert "no criteria files" in page.text
    assert "NO-GO" in page.text


@pytest.mark.parametrize(
    "broken", ["config.json", *[f"{NAMES[1]}/{f}.json" for f in ("measurement", "decision")]]
)
@pytest.mark.parametrize("text", ["", '{"cut": ', "[1]", '{"metrics": [{}]}', "\x00"])
def test_broken_file_is_named_on_the_page(run: Path, broken: str, text: str) -> None:
    (run / broken).write_text(text)
    page = page_of(run)
    assert Path(broken).name in page.text
    assert "01.no_leakage" in page.ids


def test_invalid_config_values_do_not_prevent_the_page(run: Path) -> None:
    edit(run / "config.json", world=[1], base="x", datasets={"a": 1}, scale="huge", seed=None)
    assert "trial" in page_of(run).text


def test_measured_but_not_judged_is_shown(run: Path) -> None:
    (run / NAMES[2] / "decision.json").unlink()
    page = page_of(run)
    assert "measured but not judged" in page.text
    assert "safe judge" in page.text


def test_waiver_and_changed_criteria_are_announced(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", replace={"03.loss": BAD_LOSS})
    measured = json.loads((run / NAMES[2] / "measurement.json").read_text())
    measure_again(run, NAMES[2], digests=measured["digests"] | {"criteria": "0" * 64})
    gates = open_gate_run(run)
    waivers = gates.waivers
    evidence = judge_experiment(gates, NAMES[2]).digests["evidence"]
    entry = {"run": "r", "experiment": NAMES[2], "criterion": "03.loss", "author": "Ada & Co"}
    entry |= {"reason": "Known <b>since</b> the spring review.", "expires": IN_A_MONTH}
    waivers.write_text(json.dumps([entry | {"evidence": evidence}]))
    assert judge_experiment(gates, NAMES[2]).verdict == "GO"
    page = page_of(run)
    assert "GO by waiver" in page.text
    assert "Known <b>since</b> the spring review." in page.text  # as text, not as markup
    assert "Criteria changed after measuring: 03_tiny_overfit" in page.text
    assert '"notice waiver"' in (run / "launch_checklist.html").read_text()


def test_summary_of_a_metrics_detail_is_shown(tmp_path: Path) -> None:
    loss = BAD_LOSS.model_copy(update={"detail": {"summary": "Half of it is <padding>."}})
    run = make_run(tmp_path / "r", replace={"03.loss": loss})
    page = render(open_gate_run(run)).read_text(encoding="utf-8")
    assert '<p class="why">Half of it is &lt;padding&gt;.</p>' in page


def test_markup_in_the_data_is_escaped(run: Path) -> None:
    path = run / NAMES[0] / "measurement.json"
    text = "<script>alert(1)</script>"
    document = json.loads(path.read_text())
    document["metrics"][0] |= {"detail": {"caption": text}, "reason": text}
    document["metrics"].append(document["metrics"][0] | {"name": text})
    document["environment"]["device"] = text
    document["seeds"] = {text: 1}
    path.write_text(json.dumps(document))
    edit(run / "config.json", datasets=[{"name": text}])
    judge_experiment(open_gate_run(run), NAMES[0])
    assert page_of(run).text.count(text) >= 4


def test_plots_are_inlined_and_missing_or_outside_files_are_not(run: Path) -> None:
    folder = run / NAMES[0]
    (folder / "plots").mkdir()
    (folder / "plots" / "duration.png").write_bytes(PNG)
    (folder / "plots" / "snr.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "sheet of pairs.html").write_text("x")
    (run.parent / "secret.png").write_bytes(PNG)
    edit(
        folder / "measurement.json",
        plots=["plots/duration.png", "plots/snr.svg", "plots/gone.png", "../../secret.png"],
        evidence=["sheet of pairs.html", "/etc/passwd"],
    )
    page = page_of(run)
    assert len(page.requests) == 2
    assert base64.b64encode(PNG).decode() in str(page.requests[0])
    assert f"{NAMES[0]}/sheet%20of%20pairs.html" in page.links
    assert "plots/gone.png (missing)" in page.text
    assert "../../secret.png (outside its folder)" in page.text
    assert "/etc/passwd (outside its folder)" in page.text


def test_page_is_reproducible(run: Path) -> None:
    first = render(gates_of(run)).read_bytes()
    assert render(gates_of(run)).read_bytes() == first


def test_broken_criteria_file_is_named(run: Path, tmp_path: Path) -> None:
    edited = copy_criteria(tmp_path / "criteria")
    (edited / f"{NAMES[1]}.yaml").write_text("criteria: [")
    page = page_of(run, edited)
    assert "its criteria cannot be read" in page.text
    assert "02.logits_equal" in page.ids  # the decision is still shown


# Numbers and drawings ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.978, "fraction", "97.8 %"),
        (1, "fraction", "100 %"),
        (13512345, "parameters", "13,512,345"),
        (-0.982, "rho", "−0.982"),
        (1e-5, "logit", "1e-05"),
        (2.7, "ratio", "2.7 ×"),
        (None, "nats", "—"),
    ],
)
def test_numbers_are_formatted_by_unit(value: float | None, unit: str, shown: str) -> None:
    assert fmt.show(value, unit).replace("\N{NO-BREAK SPACE}", " ") == shown


@given(st.floats(0.5, 0.999), st.floats(1e-7, 1e-5))
def test_no_value_is_rounded_onto_its_bound(bound: float, away: float) -> None:
    assert fmt.show(bound - away, "fraction", bound) != fmt.show(bound, "fraction")


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e3),
    st.sampled_from(["<=", ">", "==", "between"]),
)
def test_drawing_stays_within_its_frame(value: float, bound: float, half: float, op: str) -> None:
    threshold: object = [bound, bound + half] if op == "between" else bound
    item = criterion(op=op, threshold=threshold, unit="nats", decide_on="point")
    ci = Interval(low=value - half, high=value + half, method="x")
    criteria = criteria_of(item)
    shown = metric_of(value, unit="nats", ci=ci)
    judged = judge(measurement(shown, criteria=criteria), criteria).criteria[0]
    drawing = str(interval_bar(judged, 'a "<b>" & c'))
    assert "<b>" not in drawing
    for x in re.findall(r' x[12]?="([^"]+)"', drawing):
        assert 0 <= float(x) <= 220


def test_criterion_without_a_value_has_no_drawing() -> None:
    criteria = criteria_of(criterion())
    judged = judge(measurement(criteria=criteria), criteria).criteria[0]
    assert interval_bar(judged, "x") == ""
