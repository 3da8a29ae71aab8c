"""The crops of chapter 16, and their blur against the Fourier transform."""

import numpy as np
import pytest
import torch

from forward_stability.book import photographs


def test_training_and_test_are_different_photographs():
    assert {name for name, _, _ in photographs.CROPS["train"]} <= set(photographs.TRAINING)
    assert not {name for name, _, _ in photographs.CROPS["test"]} & set(photographs.TRAINING)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_crop_is_blurred_by_a_gaussian_and_gets_noise(part):
    clean, y = photographs.blurred(part)
    assert clean.shape == y.shape == (len(photographs.CROPS[part]), 1, 64, 64)
    assert 0 <= float(clean.min()) < 0.3 < 0.7 < float(clean.max()) <= 1
    t = np.arange(-4, 5)
    wave = np.zeros(64)
    wave[t % 64] = np.exp(-(t**2) / (2 * photographs.BLUR**2))
    response = np.fft.fft2(np.outer(wave, wave) / wave.sum() ** 2)
    expected = np.fft.ifft2(np.fft.fft2(clean[:, 0].numpy()) * response).real
    noise = y[:, 0].numpy() - expected
    assert noise.std() == pytest.approx(photographs.SENSOR, rel=0.03)
    assert abs(noise.mean()) < 1e-3
    assert torch.equal(photographs.blurred(part)[1], y)


def test_a_photograph_is_grey_at_half_its_size():
    from skimage import data

    whole = data.camera() / 255
    half = whole.reshape(256, 2, 256, 2).mean((1, 3))
    np.testing.assert_allclose(photographs.photograph("camera").numpy(), half, atol=1e-15)
