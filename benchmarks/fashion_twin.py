"""The network of docs/examples/fashion_mnist.py and its twin in PyTorch, trained in turn.

    python benchmarks/fashion_twin.py FOLDER [--epochs 8] [--threads 2] [--seed 0]

Both begin with the same weights, and have the same batches, learning rates and decay. Images are
changed by our augmentation in either case, and its time counts for both.
"""

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from twin import Twin

from sklearn_convnet.datasets import read_idx_folder
from sklearn_convnet.layers import Dense
from sklearn_convnet.network import compile_network

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "fashion_mnist.py"


def load_example():
    spec = importlib.util.spec_from_file_location("fashion_mnist", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fit_twin(module, model, X, y, seed):
    """Trains a PyTorch module as `model`, an estimator, trains its network."""
    optimizer = model.optimizer
    groups = [
        {"params": [p for p in module.parameters() if p.ndim > 1]},
        {"params": [p for p in module.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, weight_decay=optimizer.weight_decay)
    rng = np.random.RandomState(seed)
    n_batches = -(-len(X) // model.batch_size)
    rates = iter(optimizer.learning_rate.simulate(model.max_iter * n_batches))
    loss = nn.CrossEntropyLoss()
    module.train()
    for _ in range(model.max_iter):
        for rows in np.array_split(rng.permutation(len(X)), n_batches):
            images, _, _ = model.augmentation.augment(X[rows], random_state=rng)
            rate = next(rates)
            for group in adam.param_groups:
                group["lr"] = rate
            adam.zero_grad()
            loss(module(torch.from_numpy(images)[:, None]), torch.from_numpy(y[rows])).backward()
            adam.step()


def accuracy(module, X, y):
    module.eval()
    with torch.no_grad():
        parts = [module(part[:, None]).argmax(1) for part in torch.from_numpy(X).split(1000)]
    return float(np.mean(torch.cat(parts).numpy() == y))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="where the four IDX files are")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=60_000, help="how many to train on")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    example = load_example()
    X, y, X_test, y_test = read_idx_folder(options.folder)
    X, y = X[: options.images], y[: options.images].astype(np.int64)
    X, X_test = (images.astype(np.float32) / 255 for images in (X, X_test))

    layers = example.layers()[1:]  # without `Standardize`, for which there is no twin
    network = compile_network(
        [*layers, ("output", Dense(10, activation=None))], (28, 28, 1), random_state=options.seed
    )
    module = Twin(network).module
    model = example.network(len(X), options.epochs, options.seed)
    weights = {path: array.copy() for path, array in network.parameters().items()}
    model.set_params(layers=layers, n_threads=options.threads, init_from=weights)

    print("| package | fit | test accuracy |\n|---|---|---|")
    start = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    print(f"| sklearn_convnet | {seconds:.0f} s | {model.score(X_test, y_test):.4f} |", flush=True)
    start = time.perf_counter()
    fit_twin(module, model, X, y, options.seed)
    seconds = time.perf_counter() - start
    score = accuracy(module, X_test, y_test)
    print(f"| PyTorch {torch.__version__} | {seconds:.0f} s | {score:.4f} |")


if __name__ == "__main__":
    main()
