"""The two likeliest answers under growing noise: what the paper tells of one dog (Fig. 10).

    python studies/second_answers.py --dataset imagefolder:DIR

There "a dog" stays a dog for ResNet-S, while the second answer changes from cat at σ = 0.02 to frog
at σ = 0.05. Here all test images of dogs are asked, with the same noise at both levels; and the
probabilities of one of them, and of the first automobile and the first ship that every network
answers rightly without noise, are kept at all levels of Table 4. The images are those of CIFAR-10,
lossless. Writes ``results/second_answers.json``. Chapter 14.
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from forward_stability.experiments.data import load_dataset, scale
from forward_stability.experiments.evaluation import predict, structured_images
from forward_stability.experiments.noise import seeded_normal, structured_noise
from forward_stability.experiments.provenance import command, environment, results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import write_json

NETWORKS = (
    "cifar10-D-m3-epochs15-seed0",
    "cifar10-S-m3-epochs15-seed0",
    "cifar10-original-m3-epochs15-seed0",
    "cifar10-S-m6-epochs15-seed0",
    "cifar10-D-m3-epochs100-seed0",
)
SIGMAS, EPSILONS = (0.02, 0.05), (0.25, 0.75)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", required=True, help="the images, such as imagefolder:cifar10")
    dataset = load_dataset(parser.parse_args().dataset)
    classes, labels = list(dataset.classes), dataset.test_labels
    x0 = scale(dataset.test_images[structured_images(dataset)[0]])

    def probabilities(run: Run, indices: list[int]) -> dict[str, Tensor]:
        """Of test images, by level; the noise of image i has the seed i at each level."""
        images = dataset.test_images[indices]
        eta = torch.stack([seeded_normal(images.shape[1:], i) for i in indices]).float()
        network = run.network().to(memory_format=torch.channels_last)

        def scores(corrupt: Callable[[Tensor], Tensor]) -> Tensor:
            return predict(network, images, corrupt, len(images)).softmax(1)

        return {
            "clean": scores(lambda x: x),
            **{f"σ = {s:g}": scores(lambda x, s=s: x + s * eta) for s in SIGMAS},
            **{f"ε = {e:g}": scores(partial(structured_noise, x0=x0, epsilon=e)) for e in EPSILONS},
        }

    runs = [Run(name) for name in NETWORKS]
    dogs = (labels == classes.index("dog")).nonzero()[:, 0].tolist()
    dog, cat, frog = (classes.index(name) for name in ("dog", "cat", "frog"))
    rows, stories = [], []
    for run in runs:
        found = probabilities(run, dogs)
        first, second = {}, {}
        for level, p in found.items():
            first[level], second[level] = p.topk(2).indices.T
        kept = (first["σ = 0.02"] == dog) & (first["σ = 0.05"] == dog)
        other = kept & (second["σ = 0.02"] != second["σ = 0.05"])
        story = kept & (second["σ = 0.02"] == cat) & (second["σ = 0.05"] == frog)
        stories.append(story)
        rows.append(
            {
                "run": run.folder.name,
                "dogs": len(dogs),
                "right": int((first["clean"] == dog).sum()),
                "kept": int(kept.sum()),
                "second_changes": int(other.sum()),
                "cat_then_frog": int(story.sum()),
            }
        )
        print(rows[-1], flush=True)

    three = torch.stack(stories[:3]).sum(0)  # how many of the networks of 15 epochs tell the story
    chosen = {"dog": dogs[int(three.argmax())]}
    for name in ("automobile", "ship"):
        mine = (labels == classes.index(name)).nonzero()[:50, 0]
        right = torch.stack(
            [predict(run.network(), dataset.test_images[mine]).argmax(1) for run in runs]
        )
        chosen[name] = int(mine[(right == classes.index(name)).all(0)][0])
    for row, run in zip(rows, runs, strict=True):
        row["probabilities"] = {
            level: [[round(float(v), 4) for v in image] for image in p]
            for level, p in probabilities(run, list(chosen.values())).items()
        }
    result = {
        "command": command(),
        "fingerprint": dataset.fingerprint,
        "classes": classes,
        "chosen": chosen,
        "networks": rows,
        "environment": environment("cpu"),
    }
    write_json(results_root() / "second_answers.json", result)


if __name__ == "__main__":
    main()
