"""The wheel, built from the source distribution, works away from the checkout."""

from __future__ import annotations

import importlib.metadata
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

import sources
import wheel_environment

SCRIPTS = {
    "fullrank",
    "fullrank-train",
    "fullrank-cluster",
    "fullrank-evaluate",
    "fullrank-export",
    "fullrank-predict",
    "fullrank-request",
    "fullrank-prepare",
    "fullrank-convert",
    "fullrank-delays",
    "fullrank-infer",
    "fullrank-online",
    "fullrank-hash-id",
    "fullrank-inspect",
    "fullrank-pretrain-graph",
    "fullrank-study",
    "fullrank-control",
    "fullrank-search",
    "fullrank-explore",
    "fullrank-collapse",
    "fullrank-compare",
    "fullrank-correlation",
    "fullrank-importance",
    "fullrank-report",
    "fullrank-entanglement",
    "fullrank-demo",
    "fullrank-hamming",
    "fullrank-conflicts",
    "fullrank-groups",
    "fullrank-inspect-run",
    "fullrank-index",
    "fullrank-prerank",
    "fullrank-cascade",
    "fullrank-recall",
    "fullrank-retrieve",
    "fullrank-replay-conversions",
    "fullrank-replay-exposures",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def distributions(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Source distribution and wheel."""
    return wheel_environment.build(repository, tmp_path_factory.mktemp("build") / "dist")


@pytest.fixture(scope="module")
def wheel_python(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel."""
    return wheel_environment.create(tmp_path_factory.mktemp("installed") / "environment", distributions[1])


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with every dependency, but without fullrank."""
    return wheel_environment.create(tmp_path_factory.mktemp("bare") / "environment", None)


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = wheel_environment.clean_environment()
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_the_wheel_holds_the_package_and_nothing_else(repository: Path, distributions: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(distributions[1]).namelist())
    metadata = {name for name in names if ".dist-info/" in name}
    files = {f"fullrank/{path}" for path in [sources.MAIN, *sources.package_files(repository)]}
    assert names - metadata == files | {f"fullrank/{folder}/py.typed" for folder in sources.FOLDERS}
    assert any(name.endswith("/LICENSE") for name in metadata)


def test_the_source_distribution_can_be_built_again(repository: Path, distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {*sources.package_files(repository), *wheel_environment.PACKAGING_FILES}


def test_imports_come_from_the_wheel(wheel_python: Path, repository: Path) -> None:
    """Even when the checkout is the working folder, where `data` and `layers` lie at hand."""
    names = [f"fullrank.{folder}" for folder in sources.FOLDERS]
    program = f"import {', '.join(names)}\nfor module in {', '.join(names)}: print(module.__file__)"
    result = run(wheel_python, "-c", program, cwd=repository)
    assert result.returncode == 0, result.stderr
    environment = wheel_python.parent.parent
    files = [Path(line) for line in result.stdout.splitlines()]
    assert len(files) == len(names)
    assert [path for path in files if environment not in path.parents] == []


def test_every_module_imports_from_the_wheel(wheel_python: Path, repository: Path, tmp_path: Path) -> None:
    names = [sources.module_name(path) for path in sources.package_files(repository)]
    program = f"import importlib\nfor name in {names!r}:\n    importlib.import_module(name)"
    result = run(wheel_python, "-c", program, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("in_checkout", [True, False])
def test_the_package_does_not_import_uninstalled(
    bare_python: Path, repository: Path, tmp_path: Path, in_checkout: bool
) -> None:
    result = run(bare_python, "-c", "import fullrank.layers", cwd=repository if in_checkout else tmp_path)
    assert result.returncode == 1
    assert "No module named 'fullrank'" in result.stderr


def test_the_training_command_shows_its_help(wheel_python: Path, tmp_path: Path) -> None:
    result = run(wheel_python, "-m", "fullrank.trainers.train", "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "--data" in result.stdout
    assert "--model" in result.stdout


def test_console_scripts_call_the_commands(wheel_python: Path, tmp_path: Path) -> None:
    assert {path.name for path in wheel_python.parent.glob("fullrank*")} == SCRIPTS
    program = (
        "from importlib.metadata import distribution\n"
        "for entry in distribution('fullrank').entry_points:\n"
        "    assert callable(entry.load())\n"
        "    print(entry.name)"
    )
    loaded = run(wheel_python, "-c", program, cwd=tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    assert set(loaded.stdout.split()) == SCRIPTS
    shown = run(wheel_python.parent / "fullrank-inspect", "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "--data" in shown.stdout or "--input" in shown.stdout


def test_python_m_fullrank_lists_and_starts_the_commands(wheel_python: Path, tmp_path: Path) -> None:
    listed = run(wheel_python, "-m", "fullrank", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert [name for name in SCRIPTS - {"fullrank"} if name.removeprefix("fullrank-") not in listed.stdout] == []
    started = run(wheel_python, "-m", "fullrank", "train", "--help", cwd=tmp_path)
    assert started.returncode == 0, started.stderr
    assert "--data" in started.stdout


def test_metadata_names_version_and_dependencies(wheel_python: Path, tmp_path: Path) -> None:
    program = (
        "from importlib.metadata import requires, version\n"
        "print(version('fullrank'))\n"
        "print(*[line for line in requires('fullrank') if 'extra' not in line], sep='\\n')"
    )
    result = run(wheel_python, "-c", program, cwd=tmp_path)
    version, *requirements = result.stdout.splitlines()
    assert version == importlib.metadata.version("fullrank")
    assert "tensorflow<2.22,>=2.21" in requirements
    assert "tf-keras<2.22,>=2.21" in requirements
