"""Settings and fixtures shared by every test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# TensorFlow reads these when it is first imported, which the test modules do after this file. Several pytest workers on
# few cores would otherwise start one pool of threads each for all cores and slow one another down.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Refuses to test while TensorFlow is already there, because it would ignore the settings above."""
    if "tensorflow" in sys.modules:
        raise pytest.UsageError("tensorflow was imported before tests/conftest.py; remove the plugin that imports it")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree; a test that needs it cannot run from an installed wheel alone."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public data sets named by FULLRANK_TEST_DATA, or a skip that says how to name it."""
    named = os.environ.get("FULLRANK_TEST_DATA")
    if not named:
        pytest.skip("FULLRANK_TEST_DATA is not set: set it to a folder with the public data sets")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"FULLRANK_TEST_DATA is {named!r}, which is not a folder")
    return folder
