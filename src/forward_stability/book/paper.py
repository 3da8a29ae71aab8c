"""The paper's own numbers, typed in from its Tables 2 to 5. Everything else is computed."""

DEPTHS: dict[str, dict[int, int]] = {
    "D": {3: 18, 6: 36, 9: 54, 12: 72},
    "S": {3: 11, 6: 20, 9: 29, 12: 38},
    "original": {3: 20, 5: 32, 7: 44, 9: 56},
}
"""Depth by variant and m: Table 2; for the original Table 5, which lists depths 6m + 2."""

PARAMETERS: dict[str, dict[int, str]] = {
    "D": {3: "0.223", 6: "0.514", 9: "0.805", 12: "1.100"},
    "S": {3: "0.124", 6: "0.270", 9: "0.416", 12: "0.561"},
    "original": {3: "0.27", 5: "0.46", 7: "0.66", 9: "0.85"},
}
"""Trainable parameters on CIFAR-10 in millions, to the digits that Tables 2 and 5 print."""

CIFAR100_MORE = 5760
"""Parameters that the same network has more on CIFAR-100 (Table 2)."""

ACCURACY: dict[tuple[str, str], dict[int, float]] = {
    ("D", "cifar10"): {3: 88.81, 6: 91.23, 9: 92.13, 12: 92.50},
    ("D", "cifar100"): {3: 60.23, 6: 65.72, 9: 67.63, 12: 69.18},
    ("S", "cifar10"): {3: 87.78, 6: 88.16, 9: 88.18, 12: 89.09},
    ("S", "cifar100"): {3: 58.17, 6: 61.79, 9: 62.14, 12: 63.17},
    ("original", "cifar10"): {3: 91.25, 5: 92.49, 7: 92.83, 9: 93.03},
}
"""Test accuracy in percent by variant and data set, then m.

Table 3 (ResNet-D, ResNet-S): average over the last 5,000 training steps. Table 5 (the original
ResNet): quoted by the paper from He et al., Table 6; the table's heading says error.
"""

NOISE_LEVELS = ("clean", "σ = 0.02", "σ = 0.05", "ε = 0.25", "ε = 0.75")
"""The columns of Table 4."""

NOISE: dict[tuple[str, str], dict[int, tuple[float, ...]]] = {
    ("D", "cifar10"): {
        3: (88.02, 83.52, 50.55, 83.40, 41.24),
        6: (90.74, 85.48, 56.70, 84.54, 35.18),
        9: (91.16, 86.78, 63.77, 85.78, 32.07),
        12: (91.79, 86.95, 61.73, 86.95, 40.25),
    },
    ("S", "cifar10"): {
        3: (87.73, 82.43, 52.44, 82.24, 33.66),
        6: (88.29, 83.22, 56.51, 82.94, 34.93),
        9: (88.05, 83.68, 55.82, 83.50, 36.80),
        12: (89.00, 85.67, 59.86, 83.58, 34.13),
    },
}
"""Test accuracy in percent on corrupted images, by variant and data set, then m: Table 4."""
