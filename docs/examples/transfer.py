"""
A ResNet from PyTorch, and back into the world
==============================================

PyTorch trains a ResNet-18, of a quarter of the width, on scenes with digits from 0 to 5. It comes
here as an ONNX model, learns to tell 6, 7, 8 and 9 apart from a few images, and goes on to
onnxruntime as an ONNX model again. A network that begins anew with the same images shows what the
first task is worth for the second.

Scenes of the first task and the few images are made of the first 1,200 digits of scikit-learn, the
test scenes of the others.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/transfer.png'

import argparse
import io
import warnings
from time import perf_counter, process_time

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.datasets import make_digit_scenes
from sklearn_convnet.interchange import from_onnx, to_onnx
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.schedules import CosineDecay

try:
    import onnx
    import onnxruntime
    import torch
    from torch import nn
except ImportError as error:
    raise SystemExit(f"{error}: pip install torch onnx onnxruntime") from error

SIZE, WIDTHS = 28, (16, 32, 64, 128)
FIRST, SECOND = range(6), range(6, 10)
RATES = (1e-3, 3e-3, 1e-2)
N_IMAGES = (25, 50, 100, 200)
BATCH = 20
AT_ONCE = 100  # images that are given to PyTorch and onnxruntime to be predicted

# %%
# Data
# ----


def scenes(n, digits, among, seed):
    """Scenes of some kinds of digits, of which they take those in a slice, and their labels."""
    rows = np.arange(1797)[among]
    rows = rows[np.isin(load_digits().target[rows], digits)]
    images, labels, _, _ = make_digit_scenes(
        n, size=SIZE, digits=rows, scale=(1.5, 2.2), n_distractors=2, random_state=seed
    )
    return images.astype(np.float32), labels


# %%
# In PyTorch
# ----------
# A residual network for images of 28 x 28 pixels: its first convolution has a stride of 1.


class Block(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            convolution = nn.Conv2d(n_in, n_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(n_out))

    def forward(self, X):
        return torch.relu(self.body(X) + self.shortcut(X))


def torch_resnet(n_classes):
    n = WIDTHS[0]
    layers = [nn.Conv2d(1, n, 3, 1, 1, bias=False), nn.BatchNorm2d(n), nn.ReLU()]
    for width in WIDTHS:
        layers += [Block(n, width, 1 if n == width else 2), Block(width, width, 1)]
        n = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n, n_classes))


def torch_epoch(net, optimizer, X, y, batch):
    """One epoch of training; tensors in, the channels first."""
    for rows in torch.randperm(len(X)).split(batch):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(X[rows]), y[rows]).backward()
        optimizer.step()


def torch_accuracy(net, data):
    X, y = tensors(*data)
    with torch.no_grad():
        return float((net.eval()(X).argmax(1) == y).float().mean())


def tensors(X, y):
    return torch.from_numpy(X[:, None]), torch.from_numpy(np.unique(y, return_inverse=True)[1])


def exported(net):
    """The ONNX model of a network as it is, with its batch norms."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            (torch.zeros(2, 1, SIZE, SIZE),),
            file,
            dynamo=False,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            input_names=["X"],
            dynamic_axes={"X": {0: "n"}},
        )
    return onnx.load_from_string(file.getvalue())


# %%
# Here
# ----
# All layers but the last are taken over. If they are frozen, so are the statistics of their
# batch norms, and only the output layer learns.


def learners(layers, weights, epochs, seed):
    """Estimators by what they begin with, all with the same layers."""
    body = {path: array for path, array in weights.items() if not path.startswith("dense1/")}
    anew = ConvNetClassifier(
        layers[:-1],
        optimizer=Adam(CosineDecay(RATES[0], period=epochs)),
        batch_size=BATCH,
        max_iter=epochs,
        n_iter_no_change=epochs,
        n_threads=1,
        random_state=seed,
    )
    tuned = clone(anew).set_params(init_from=body)
    frozen = clone(tuned)
    names = [name for name in frozen.get_params() if name.endswith("__trainable")]
    frozen.set_params(**dict.fromkeys(names, False))
    return {"anew": anew, "frozen": frozen, "all weights": tuned}


def at_rate(clf, rate):
    return clone(clf).set_params(optimizer__learning_rate__initial=rate)


def best_rate(clf, few, validation):
    """The rate that is best on scenes of digits that are neither in the few images nor tested."""
    return max(RATES, key=lambda rate: at_rate(clf, rate).fit(*few).score(*validation))


# %%
# How long it takes
# -----------------
# CPU time, since others may use the processor, too: one thread each, in turn, and the least of a
# few times.


def milliseconds(calls, n_rounds):
    def once(call):
        begin = process_time()
        call()
        return 1e3 * (process_time() - begin)

    return np.min([[once(call) for call in calls] for _ in range(n_rounds)], axis=0)


def times(fitted, net, session, few, X, n_rounds):
    """Rows (step, here, PyTorch, onnxruntime) in milliseconds."""
    tensor, (tensor_few, codes) = torch.from_numpy(X[:, None]), tensors(*few)
    net[-1] = nn.Linear(WIDTHS[-1], len(SECOND))
    rows = []
    for name, parameters, step in (
        ("frozen", net[-1].parameters(), "an epoch of the output layer"),
        ("all weights", net.parameters(), "an epoch of all weights"),
    ):
        optimizer = torch.optim.Adam(parameters)
        net.requires_grad_(name == "all weights")
        net[-1].requires_grad_(True)
        net.train(name == "all weights")
        calls = [
            lambda name=name: fitted[name].partial_fit(*few),
            lambda optimizer=optimizer: torch_epoch(net, optimizer, tensor_few, codes, BATCH),
        ]
        rows.append((step, *milliseconds(calls, n_rounds), np.nan))
    net.eval()

    def predict():
        with torch.no_grad():
            for part in tensor.split(AT_ONCE):
                net(part).softmax(1)

    def serve():
        for start in range(0, len(X), AT_ONCE):
            served(session, X[start : start + AT_ONCE])

    calls = [lambda: fitted["all weights"].predict_proba(X), predict, serve]
    return [*rows, (f"predictions of {len(X)} images", *milliseconds(calls, n_rounds))]


def server(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def served(session, X):
    return session.run(["label", "probabilities"], {"X": X})


# %%
# The picture
# -----------


def draw(path, scores, first, second):
    import matplotlib.pyplot as plt
    from drawing import save

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8, 3.4), layout="constrained", width_ratios=(1, 1.4)
    )
    rows = [np.hstack([X[y == label][0] for label in np.unique(y)[:4]]) for X, y in (first, second)]
    gap = np.full((4, rows[0].shape[1]), 1.0)
    left.imshow(np.vstack([rows[0], gap, rows[1]]), cmap="gray", vmin=0, vmax=1)
    left.set(xticks=[], yticks=[SIZE / 2, 1.5 * SIZE + 4], yticklabels=["PyTorch\nlearnt", "new"])
    for (name, by_size), marker in zip(scores.items(), "os^", strict=True):
        sizes, found = list(by_size), np.array(list(by_size.values()))
        right.plot(sizes, found.mean(axis=1), f"{marker}-", label=name)
        right.fill_between(sizes, found.min(axis=1), found.max(axis=1), alpha=0.2, lw=0)
    right.set(xscale="log", xlabel="images of the new digits", ylabel="test accuracy")
    right.set_xticks(sizes, sizes)
    right.minorticks_off()
    right.legend(frameon=False)
    save(figure, path)


# %%
# All of it
# ---------


def main(arguments=None):
    """Returns the test accuracies of each learner by number of images, one for each seed."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split("\n")[0])
    parser.add_argument("--epochs", type=int, default=30, help="here (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few data, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw scenes and accuracies")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    n_first, first_epochs, n_test, epochs = (
        (60, 1, 40, 1) if options.quick else (3000, 6, 1000, options.epochs)
    )
    sizes, n_rounds = ((20, 40), 1) if options.quick else (N_IMAGES, 7)

    torch.manual_seed(0)
    torch.set_num_threads(1)
    first = scenes(n_first, FIRST, slice(None, 1200), seed=0)
    first_test = scenes(n_test, FIRST, slice(1200, None), seed=3)
    net, begin = torch_resnet(len(FIRST)), perf_counter()
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(first_epochs):
        torch_epoch(net, optimizer, *tensors(*first), batch=50)
    print(f"PyTorch: {first_epochs} epochs of {n_first} scenes in {perf_counter() - begin:.1f} s")
    print(f"accuracy of new scenes of these digits: {torch_accuracy(net, first_test):.3f}")
    model, begin = exported(net), perf_counter()
    layers, weights = from_onnx(model, input_shape=(1, SIZE, SIZE))
    print(
        f"from_onnx: {sum(map(np.size, weights.values())):,} numbers, "
        f"{perf_counter() - begin:.2f} s"
    )

    validation = scenes(n_test, SECOND, slice(900, 1200), seed=1)
    test = scenes(n_test, SECOND, slice(1200, None), seed=2)
    few = scenes(sizes[-2], SECOND, slice(None, 900), seed=99)
    rates = {
        name: best_rate(clf, few, validation)
        for name, clf in learners(layers, weights, epochs, seed=99).items()
    }
    scores = {name: {n: [] for n in sizes} for name in rates}
    for seed in range(options.seeds):
        for n in sizes:
            few = scenes(n, SECOND, slice(None, 900), seed=100 + seed)
            fitted = learners(layers, weights, epochs, seed)
            for name, clf in fitted.items():
                fitted[name] = at_rate(clf, rates[name]).fit(*few)
                scores[name][n].append(fitted[name].score(*test))
    print(f"\n| begins with | rate | {' | '.join(f'{n} images' for n in sizes)} |")
    print(f"|---|---|{'---|' * len(sizes)}")
    for name, found in scores.items():
        means = " | ".join(f"{np.mean(one):.3f}" for one in found.values())
        print(f"| {name} | {rates[name]:g} | {means} |")

    begin = perf_counter()
    session = server(to_onnx(fitted["all weights"]))
    print(f"\nto_onnx, and onnxruntime's session: {perf_counter() - begin:.2f} s")
    labels, probabilities = served(session, test[0])
    assert np.array_equal(labels, fitted["all weights"].predict(test[0]))
    error = np.abs(probabilities - fitted["all weights"].predict_proba(test[0])).max()
    print(f"onnxruntime: the same labels, probabilities differ by {error:.0e} at most\n")
    print("| milliseconds | here | PyTorch | onnxruntime |\n|---|---|---|---|")
    for step, *found in times(fitted, net, session, few, test[0], n_rounds):
        print(f"| {step} | {' | '.join('' if np.isnan(t) else f'{t:.0f}' for t in found)} |")
    if options.figure:
        draw(options.figure, scores, first, test)
    return scores


if __name__ == "__main__":
    main()
