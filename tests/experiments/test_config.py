"""The configuration of a run: what the paper's is, and what is refused."""

import pytest
from torch.nn.utils import parametrize

from forward_stability.errors import InputError
from forward_stability.experiments.config import Beyond, Config
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
        ({"lift": -1.0}, "lift must be at least 0 and finite"),
        ({"lift": 1.0}, r"lift 1\.0 has no effect without constraint theorem"),
        (
            {"lift": 1.0, "constraint": "theorem"},
            r"lift 1\.0 is for pooling unshuffling and outer relu",
        ),
        (
            {"lift": 1.0, "constraint": "theorem", "pooling": "unshuffling"},
            "lift is for variant S only",
        ),
        ({"layers": "maxmin"}, "layers maxmin has no effect without constraint theorem"),
        (
            {"layers": "maxmin", "constraint": "theorem", "outer": "none"},
            "lift and outer have no effect with layers maxmin",
        ),
        (
            {"layers": "maxmin", "constraint": "theorem", "variant": "S", "width": 3},
            "layers maxmin needs an even width, got 3",
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
        ({"steps": 2**64}, "steps must have at most 64 bits"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"learning_rate": 1e300}, "learning_rate must be at most 1e"),
        ({"blocks": 10**6}, "a network too large to train"),
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


def test_limits_are_allowed_and_what_is_beyond_them_is_not():
    Config(blocks=1, width=1, steps=1, batch_size=1, alpha=0.0, momentum=0.0, evaluate_every=1)
    Config(decay_every=1, learning_rate=1e-300, beyond=Beyond(margin=0.0, temperature=1e-300))
    for values in (
        {"learning_rate": float("inf")},
        {"learning_rate": float("nan")},
        {"alpha": float("inf")},
        {"momentum": -0.1},
        {"decay_every": 0},
        {"width": 0},
        {"steps": 0},
        {"batch_size": 0},
        {"evaluate_every": 0},
        {"epochs": 2, "steps": 10},
        {"pooling_bound": float("inf"), "constraint": "theorem"},
        {"temperature": float("inf")},
        {"margin": -0.1},
    ):
        with pytest.raises(InputError):
            Config.from_dict(values)


def test_options_beyond_the_paper_change_the_network_that_they_name():
    for options, arguments in (
        ({"constraint": "theorem"}, {"batch_norm": False}),
        ({"outer": "none", "variant": "S"}, {"outer_relu": False}),
        (
            {"layers": "maxmin", "variant": "S", "constraint": "theorem"},
            {"maxmin": True, "batch_norm": False},
        ),
        ({"images": "halved"}, {"halve": True}),
        ({"images": "unshuffled"}, {"unshuffle": True}),
        ({"pooling": "unshuffling"}, {"pooling": "unshuffling"}),
        ({"schedule": "one-cycle"}, {}),
        ({"head": "flattened"}, {"flatten": [8, 16]}),
    ):
        found = Config().changed(**options).architecture((1, 8, 16), 7)
        assert found == {
            "variant": options.get("variant", "D"), "blocks": 3, "width": 16, "channels": 1,
            "classes": 7, **arguments,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"decay_every": 5, "schedule": "one-cycle"}, "decay_every 5 has no effect without"),
        ({"variant": "original", "pooling": "unshuffling"}, "the original has none"),
        (
            {"constraint": "theorem", "pooling": "unshuffling", "pooling_bound": 0.1},
            "pooling_bound 0.1 has no effect without pooling paper",
        ),
        ({"pooling": "average"}, "unknown pooling 'average': choose one of paper, unshuffling"),
    ],
)
def test_options_beyond_the_paper_without_an_effect_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Config.from_dict(values)


def test_names_and_dictionaries():
    config = Config("S", 6, dataset="imagefolder:/a/b", seed=4).changed(constraint="theorem")
    assert config.name == "imagefolder-S-m6-theorem-seed4"
    assert Config().name == "digits-D-m3-seed0"
    assert Config.from_dict(config.to_dict()) == config
    assert "beyond" not in config.to_dict()
    assert config.to_dict()["constraint"] == "theorem"
    with pytest.raises(InputError, match="unknown entries in the configuration: a, b"):
        Config.from_dict({"b": 1, "a": 2})


def test_resolving_keeps_what_is_given():
    config = Config(steps=935).resolved(10)
    assert (config.steps, config.decay_every, config.epochs) == (935, 320, None)
    assert Config(decay_every=7).resolved(10).decay_every == 7
    assert Config(epochs=3, batch_size=4).resolved(10).steps == 9
    assert (Config().evaluate_every, Config().batch_size, Config().momentum) == (500, 128, 0.9)
    assert (Config().learning_rate, Config().alpha, Config().beyond) == (0.1, 1e-4, Beyond())
    assert (Beyond().temperature, Beyond().margin, Beyond().pooling_bound) == (1.0, 0.0, 0.5)
