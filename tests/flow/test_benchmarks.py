"""Each benchmark runs, and counts what it should; how fast is not a test's business."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import plot
from benchmarks.__main__ import main
from benchmarks.measure import Row, Spread, ratios

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_each_benchmark_runs_and_counts_what_it_should(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """However many ask, there is one token request and no spent refresh token; nothing is left over."""
    rows = main(["--quick"])
    counts = {name: value for row in rows for name, value in row.counts.items() if name in ("reuse", "descriptors")}
    assert counts == {"reuse": 0, "descriptors": 0}
    asked = [row.counts for row in rows if "rounds" in row.counts]
    assert len(asked) == 3
    assert all(row["requests"] == row["rounds"] for row in asked)
    renewed = [row.counts for row in rows if "renewals" in row.counts]
    assert [(row["requests"], row["renewals"]) for row in renewed] == [(2, 2)]
    expected = {"signed in": 1, "violations": 0, "the key was asked for": 1, "kept": 16, "served": 2}
    assert expected.items() <= {name: value for row in rows for name, value in row.counts.items()}.items()
    table = capsys.readouterr().out.splitlines()
    assert len(table) == len(rows) + 2
    plot.draw(rows, tmp_path / "plot.svg")
    assert ET.parse(tmp_path / "plot.svg").getroot().tag.endswith("svg")


def test_what_was_written_has_every_row() -> None:
    """The page in the repository is of this version of the benchmarks: it has their rows."""
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for line in ("one request", "`access_token()`", "256 threads", "64 processes", "early renewals", "first request",
                 "key from the keychain", "callback received", "event loop", "bundle", "profile"):  # fmt: skip
        assert f"{line}" in page


def test_a_ratio_is_taken_within_its_round() -> None:
    """A round in which all were slow says as much as any other."""
    found = ratios({"limit": [1.0, 10.0, 1.0], "ours": [1.2, 12.0, 1.2]}, "limit")
    assert found == {"ours": Spread(1.2, 1.2, 1.2)}
    assert Row("a", "b").met is None
