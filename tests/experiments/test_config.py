"""The configuration of a run: what the paper's is, and what is refused."""

import pytest
from torch.nn.utils import parametrize

from forward_stability.errors import InputError
from forward_stability.experiments.config import Config
from forward_stability.models import Network


def test_the_network_of_the_paper_is_what_it_was():
    """No option of this chapter is part of it, and its weights are marked as before."""
    assert Config().architecture((3, 32, 32), 10) == {
        "variant": "D", "blocks": 3, "width": 16, "channels": 3, "classes": 10,
    }  # fmt: skip
    assert not any(parametrize.is_parametrized(m) for m in Network().modules())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constraint": "theorems"}, "unknown constraint 'theorems': choose one of none, theorem"),
        ({"head": "flat"}, "unknown head"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"pooling_bound": -1.0}, "pooling_bound must be positive"),
        ({"margin": float("inf")}, "margin must be at least 0 and finite"),
        ({"initialisation": "isometry"}, "isometry has no effect without constraint theorem"),
        ({"pooling_bound": 0.1}, r"pooling_bound 0\.1 has no effect without constraint theorem"),
        (
            {"initialisation": "isometry", "constraint": "theorem"},
            "initialisation isometry is for variant S only",
        ),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Config.from_dict(options)


def test_epochs_are_counted_in_steps_and_the_decay_scales():
    config = Config(epochs=2).resolved(50_000)
    assert config.steps == 2 * 391  # 391 steps an epoch, as the paper says
    assert config.decay_every == round(782 * 32_000 / 93_500)
    assert Config(steps=1).resolved(5).decay_every == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"variant": "R"}, "unknown variant 'R'"),
        ({"blocks": 0}, "blocks must be at least 1, got 0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"precision": "float16"}, "unknown precision 'float16': choose one of float32, bfloat16"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"alpha": -1.0}, "alpha must be at least 0"),
        ({"seed": "0"}, "seed must be of type int, got '0'"),
        ({"blocks": True}, "blocks must be of type int, got True"),
        ({"momentum": None}, "momentum must be of type float, got None"),
    ],
)
def test_impossible_configurations_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Config(**values)
