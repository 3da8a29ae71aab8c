"""What a number depends on: commit, hardware, command, without paths of the machine."""

import platform
import subprocess
import sys

import torch

from forward_stability import __version__
from forward_stability.experiments import provenance


def test_results_lie_in_the_package_or_at_the_top_of_the_checkout(tmp_path, monkeypatch):
    package = tmp_path / "src" / "forward_stability"
    package.mkdir(parents=True)
    monkeypatch.setattr(provenance, "PACKAGE", package)
    assert provenance.results_root() == tmp_path / "results"
    (package / "results").mkdir()
    assert provenance.results_root() == package / "results"


def test_the_environment_names_versions_device_and_hardware():
    found = provenance.environment("cpu")
    assert (found["package"], found["device"]) == (__version__, "cpu")
    assert (found["python"], found["torch"]) == (platform.python_version(), torch.__version__)
    assert found["threads"] == str(torch.get_num_threads())
    assert found["hardware"] == provenance.hardware("cpu") != ""


def test_the_commit_is_marked_if_the_package_was_changed(tmp_path, monkeypatch):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    package = tmp_path / "package"
    monkeypatch.setattr(provenance, "PACKAGE", package)
    assert provenance.commit() == "unknown"
    package.mkdir()
    (package / "a.py").write_text("a")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "a")
    assert provenance.commit() == git("rev-parse", "--short=12", "HEAD")
    (tmp_path / "b").write_text("outside of the package")
    assert not provenance.commit().endswith("+")
    (package / "a.py").write_text("b")
    assert provenance.commit() == git("rev-parse", "--short=12", "HEAD") + "+"


def test_a_command_is_as_seen_from_the_checkout(tmp_path, monkeypatch):
    top = tmp_path.resolve()
    monkeypatch.setattr(provenance, "PACKAGE", top / "src" / "forward_stability")
    words = ["run", "imagefolder:/home/me/pictures", "--seed", "1"]
    for program, name in (
        (str(top / "studies" / "shifts.py"), "python studies/shifts.py"),
        ("/usr/bin/forward-stability", "forward-stability"),
        (str(top / "studies" / "shifts"), "shifts"),
        ("/elsewhere/shifts.py", "shifts.py"),
    ):
        monkeypatch.setattr(sys, "argv", [program, *words])
        assert provenance.command() == f"{name} run imagefolder:DIR --seed 1"
