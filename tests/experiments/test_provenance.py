"""What a number depends on: commit, hardware, command, without paths of the machine."""

import platform
import subprocess
import sys

import pytest
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


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A committed repository with the package in it."""
    package = tmp_path / "top" / "src" / "forward_stability"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("a")
    (tmp_path / "top" / "pyproject.toml").write_text('name = "forward-stability"')
    git(tmp_path / "top", "init", "-q")
    git(tmp_path / "top", "add", "-A")
    git(tmp_path / "top", "commit", "-qm", "a")
    monkeypatch.setattr(provenance, "PACKAGE", package)
    return tmp_path / "top"


def test_the_commit_is_marked_if_the_package_was_changed(checkout):
    assert provenance.commit() == git(checkout, "rev-parse", "--short=12", "HEAD")
    (checkout / "b").write_text("outside of the package")
    assert not provenance.commit().endswith("+")
    (provenance.PACKAGE / "__init__.py").write_text("b")
    assert provenance.commit() == git(checkout, "rev-parse", "--short=12", "HEAD") + "+"


@pytest.mark.parametrize("place", [".venv/lib/python3.11/site-packages", "vendored", "src"])
@pytest.mark.parametrize("committed", [True, False])
def test_the_commit_of_another_repository_is_not_ours(checkout, monkeypatch, place, committed):
    (checkout / "pyproject.toml").write_text('name = "theirs"')
    package = checkout / place / "forward_stability"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("installed")
    if committed:
        git(checkout, "add", "-Af")
        git(checkout, "commit", "-qm", "b")
    monkeypatch.setattr(provenance, "PACKAGE", package)
    assert provenance.commit() == "unknown"


def test_a_checkout_without_git_inside_of_another_is_no_checkout(checkout, monkeypatch):
    package = checkout / "unpacked" / "src" / "forward_stability"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("a")
    (package.parents[1] / "pyproject.toml").write_text('name = "forward-stability"')
    git(checkout, "add", "-A")
    git(checkout, "commit", "-qm", "b")
    monkeypatch.setattr(provenance, "PACKAGE", package)
    assert provenance.commit() == "unknown"
    git(checkout / "unpacked", "init", "-q")  # of which nothing is committed
    assert provenance.commit() == "unknown"


def test_a_hook_of_another_repository_does_not_lend_its_commit(checkout, tmp_path, monkeypatch):
    expected = git(checkout, "rev-parse", "--short=12", "HEAD")
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "-q")
    git(tmp_path / "other", "commit", "-qm", "other", "--allow-empty")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert provenance.commit() == expected


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
