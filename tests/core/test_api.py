"""The front door: names are loaded when they are asked for, and no others."""

import pytest

import forward_stability
from forward_stability import api


def test_every_name_of_the_front_door_is_the_one_of_its_module():
    assert forward_stability.__all__ == api.__all__ == sorted(api.__all__)
    for name in api.__all__:
        assert getattr(forward_stability, name) is getattr(api, name)
    assert {*api.__all__, "__version__"} <= set(dir(forward_stability))


@pytest.mark.parametrize("name", ["annotations", "import_module_", "__wrapped__", "prod"])
def test_other_names_are_not_there(name):
    with pytest.raises(AttributeError, match=f"'forward_stability' has no attribute '{name}'"):
        getattr(forward_stability, name)
