"""The wheel carries what the chapters need, so that they run where there is no checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

from forward_stability.experiments import provenance

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_carries_the_results(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    files = [path for path in (ROOT / "results").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert f"forward_stability/{path.relative_to(ROOT).as_posix()}" in names


def test_results_are_found_in_a_wheel_and_in_a_checkout(tmp_path, monkeypatch):
    assert provenance.results_root() == ROOT / "results"
    package = tmp_path / "site-packages" / "forward_stability"
    (package / "results").mkdir(parents=True)
    monkeypatch.setattr(provenance, "PACKAGE", package)
    assert provenance.results_root() == package / "results"
