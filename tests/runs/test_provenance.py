"""Where a result file says that it comes from."""

import importlib.util
import shutil
import subprocess

import pytest

from tests.conftest import ROOT


def git(directory, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(directory), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit_of(package):
    """What the copy of the package in this directory says its commit is."""
    spec = importlib.util.spec_from_file_location("copied", package / "runs/provenance.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.commit()


@pytest.fixture
def repository(tmp_path):
    """Another git repository, with a commit."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "other.py").write_text("")
    git(tmp_path, "add", "other.py")
    git(tmp_path, "commit", "--quiet", "--message=other")
    return tmp_path


def copy(directory):
    package = directory / "apot_lit"
    (package / "runs").mkdir(parents=True)
    shutil.copy(ROOT / "apot_lit/__init__.py", package)
    shutil.copy(ROOT / "apot_lit/runs/provenance.py", package / "runs")
    return package


@pytest.mark.parametrize("place", ["", ".venv/lib/site-packages", "vendor"])
def test_a_repository_that_the_package_is_no_part_of_does_not_lend_its_commit(repository, place):
    assert commit_of(copy(repository / place)) is None


def test_one_that_carries_the_package_elsewhere_than_at_its_root_is_another_project(repository):
    copy(repository / "vendor")
    git(repository, "add", "vendor")
    git(repository, "commit", "--quiet", "--message=vendor")
    assert commit_of(repository / "vendor/apot_lit") is None


def test_the_projects_own_commit_and_whether_files_differ_from_it(repository):
    package = copy(repository)
    git(repository, "add", "apot_lit")
    git(repository, "commit", "--quiet", "--message=package")
    head = git(repository, "rev-parse", "HEAD")
    assert commit_of(package) == head
    (repository / "other.py").write_text("changed")
    assert commit_of(package) == f"{head}-dirty"


def test_outside_of_git_there_is_no_commit(tmp_path):
    assert commit_of(copy(tmp_path)) is None
