"""
Digits on a small device
========================

LeNet-5 learns digits and is written as source in C. The source is compiled for this machine, run
on all digits that the network has not seen, and measured.

This needs a C compiler, and `size` of the GNU binutils for the sizes.
"""

import argparse
import ctypes
import subprocess
import tempfile
import timeit
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import lenet5
from sklearn_convnet.interchange import export_c

# %%
# The network
# -----------
# LeNet-5 takes images of 32 x 32: each pixel of a digit is three times as high and wide, with a
# margin of four.


def images():
    """Digits of 32 x 32, and what they are."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8).repeat(3, axis=1).repeat(3, axis=2) / 16
    return np.pad(X, [(0, 0), (4, 4), (4, 4)]).astype(np.float32), y


# %%
# C
# -


def sizes(source, optimize, compiler):
    """Bytes of code, constants and static memory."""
    made = source.with_suffix(".o")
    subprocess.run([compiler, "-std=c99", optimize, "-c", source, "-o", made], check=True)
    ran = subprocess.run(["size", "-A", made], check=True, capture_output=True, text=True)
    rows = [line.split() for line in ran.stdout.splitlines()]
    found = {row[0]: int(row[1]) for row in rows if row and row[0].startswith(".")}
    constants = sum(size for name, size in found.items() if name.startswith(".rodata"))
    return found[".text"], constants, found.get(".bss", 0)


def compiled(source, optimize, compiler):
    """The function, which takes and returns arrays."""
    library = source.with_suffix(f".{optimize[1:]}.so")
    options = ["-std=c99", optimize, "-shared", "-fPIC"]
    subprocess.run([compiler, *options, source, "-o", library, "-lm"], check=True)
    function = ctypes.CDLL(str(library)).lenet_predict

    def predict(x, y):
        function(x.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p))

    return predict


def milliseconds(functions, n_repeats):
    """Times of calls of functions in turn: the least of nine, of many calls each."""
    times = [[timeit.timeit(one, number=n_repeats) for one in functions] for _ in range(9)]
    return 1e3 * np.min(times, axis=0) / n_repeats


# %%
# The picture
# -----------


def draw(path, measured):
    """Sizes by the options of the compiler, and how far the probabilities of digits are off."""
    from drawing import picture

    places, labels = np.arange(len(measured)), ("code", "constants", "memory")
    kilobytes = np.array([n_bytes for n_bytes, _ in measured.values()]) / 1024
    with picture(path, [["size", "error"]], (8, 2.8)) as axes:
        for i, label in enumerate(labels):
            bars = axes["size"].barh(places + 0.25 * i, kilobytes[:, i], 0.25, label=label)
            axes["size"].bar_label(bars, fmt="%.1f", padding=3, fontsize="small")
        axes["size"].set_yticks(places + 0.25, list(measured))
        axes["size"].invert_yaxis()
        axes["size"].margins(x=0.15)
        axes["size"].set_xlabel("KiB")
        axes["size"].legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
        errors = [error for _, error in measured.values()]
        axes["error"].hist(errors, bins=12, label=list(measured))
        axes["error"].set(xlabel="largest error of a probability", ylabel="digits")
        axes["error"].legend(fontsize="small")


# %%
# Both
# ----


def main(arguments=None):
    """Returns the largest error of a probability."""
    parser = argparse.ArgumentParser(description="Digits on a small device")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=200, help="calls that are timed together")
    parser.add_argument("--compiler", default="cc")
    parser.add_argument("--figure", metavar="FILE", help="where to draw sizes and errors")
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)

    X, y = images()
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
    clf = ConvNetClassifier(lenet5(), max_iter=args.epochs, random_state=0).fit(X_train, y_train)
    P = clf.predict_proba(X_test)
    print(f"accuracy {clf.score(X_test, y_test):.3f} on {len(X_test)} digits")

    with tempfile.TemporaryDirectory() as folder:
        _, source, _ = export_c(clf, folder, name="lenet", X=X_test[:10])
        names = ("options", "code", "constants", "memory", "ms in C", "ms here", "largest error")
        print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|")
        worst, measured = 0.0, {}
        for optimize in ("-Os", "-O2", "-O3"):
            predict, found = compiled(source, optimize, args.compiler), np.empty_like(P)
            for x, p in zip(X_test, found, strict=True):
                predict(x, p)
            assert np.array_equal(found.argmax(axis=1), P.argmax(axis=1))
            n_bytes = sizes(source, optimize, args.compiler)
            numbers = " | ".join(f"{n:,}" for n in n_bytes)
            calls = [
                lambda call=predict, y=found[0]: call(X_test[0], y),
                lambda: clf.network_.forward(X_test[:1]),
            ]
            times = " | ".join(f"{time:.2f}" for time in milliseconds(calls, args.repeats))
            measured[optimize] = n_bytes, abs(found - P).max(axis=1)
            error = measured[optimize][1].max()
            print(f"| `{optimize}` | {numbers} | {times} | {error:.0e} |")
            worst = max(worst, error)
    if args.figure:
        draw(args.figure, measured)
    return worst


if __name__ == "__main__":
    main()
