"""`from fullrank import data`: every name is there, and TensorFlow is loaded only by what needs it."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from fullrank import data


@pytest.mark.parametrize("name", data.__all__)
def test_every_name_is_what_it_says(name: str) -> None:
    found = getattr(data, name)
    assert not isinstance(found, types.ModuleType), "a module of the same name hides it"
    assert name in dir(data)


def test_another_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'read_recordz'"):
        _ = data.read_recordz


def test_tensorflow_is_loaded_only_when_it_is_needed() -> None:
    program = "import sys; from fullrank import data; data.Schema; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
