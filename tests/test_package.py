"""The package: its import, what it tells of itself, and which kernels run."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from importlib.metadata import version

import numpy as np
import pytest

import sklearn_convnet
from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.kernels import loader
from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D, Sequential


@pytest.mark.oldest
def test_version():
    assert sklearn_convnet.__version__ == version("sklearn_convnet")


def test_public_names():
    for name in sklearn_convnet.__all__:
        assert getattr(sklearn_convnet, name) is not None
    assert {"ConvNetClassifier", "ConvNetRegressor", "show_config"} <= set(sklearn_convnet.__all__)


def test_import_is_fast(run_python):
    script = """
        import time
        import numpy
        import sklearn.base
        start = time.process_time()
        import sklearn_convnet
        print(time.process_time() - start)
    """
    # The fastest of several: what else the machine does only ever adds.
    seconds = []
    while len(seconds) < 5 and min(seconds, default=1) > 0.3:
        seconds.append(float(run_python(script)))
    assert min(seconds) <= 0.3


def test_import_needs_no_optional_package(run_python):
    printed = run_python(
        """
        import sys
        import sklearn.base
        before = set(sys.modules)
        import sklearn_convnet
        new = {name.split(".")[0] for name in set(sys.modules) - before}
        print(sorted(new & {"matplotlib", "pandas", "torch", "onnx", "hypothesis"}))
        """
    )
    assert printed.strip() == "[]"


# ---------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------

WHICH = """
    import numpy as np
    from sklearn_convnet import ConvNetClassifier
    from sklearn_convnet.layers import Dense
    clf = ConvNetClassifier([Dense(2)], max_iter=1).fit(np.eye(4), [0, 1, 0, 1])
    print(clf.network_.kernels.__name__)
"""


@pytest.mark.oldest
@pytest.mark.parametrize("variant", ["reference", "baseline"])
def test_the_environment_forces_kernels(run_python, variant):
    module = "reference" if variant == "reference" else f"_{variant}_float64"
    name = run_python(WHICH, SKLEARN_CONVNET_KERNELS=variant).strip()
    assert name == f"sklearn_convnet.kernels.{module}"


def test_without_the_environment_the_best_kernels_run(run_python):
    name = run_python(WHICH, SKLEARN_CONVNET_KERNELS="").strip()
    best = loader.variants()[0]
    assert name == f"sklearn_convnet.kernels._{best}_float64"
    order = [loader.VARIANTS.index(variant) for variant in loader.variants()]
    assert order == sorted(order)


def test_kernels_that_do_not_exist(run_python):
    error = run_python(WHICH, check=False, SKLEARN_CONVNET_KERNELS="sse9")
    assert "ImportError: The kernels 'sse9' are unknown, choose one of avx512" in error


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        ("loader._cpu.supports = lambda variant: False", "not supported by this CPU"),
        ("loader._is_built = lambda variant: False", "not built"),
    ],
)
def test_kernels_that_cannot_run(run_python, lacking, reason):
    """As on another machine: the loader is told that it lacks them."""
    script = f"""
        import types
        from sklearn_convnet import show_config
        from sklearn_convnet.kernels import loader
        loader._cpu = types.SimpleNamespace(
            supports=loader._cpu.supports, has_openmp=loader._cpu.has_openmp
        )
        {lacking}
        try:
            loader.kernels("float32")
        except ImportError as error:
            print(error)
        show_config()
    """
    lines = run_python(script, SKLEARN_CONVNET_KERNELS="avx2").splitlines()
    assert lines[0] == f"The kernels 'avx2' are {reason}."
    assert f"kernels avx2: {reason} (in use)" in lines


@pytest.mark.oldest
def test_show_config(capsys):
    sklearn_convnet.show_config()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"sklearn_convnet {sklearn_convnet.__version__}"
    assert f"numpy {np.__version__}" in lines[1]
    assert any(line.startswith("built with OpenMP: ") for line in lines)
    assert any(line.startswith("threads by default: ") for line in lines)
    kernels = [line.split() for line in lines if line.startswith("kernels ")]
    assert [words[1] for words in kernels] == [f"{v}:" for v in loader.VARIANTS]
    in_use = [words[1] for words in kernels if words[-2:] == ["(in", "use)"]]
    assert in_use == [f"{loader.default_variant()}:"]


# ---------------------------------------------------------------------------
# The table of a network
# ---------------------------------------------------------------------------


def test_summary():
    block = Sequential([("conv2", Conv2D(16, 5, use_bias=False)), MaxPool2D(2)])
    layers = [
        ("conv1", Conv2D(6, 5, padding=2)),
        MaxPool2D(2),
        ("block", block),
        Dense(9),
    ]
    X = np.zeros((2, 28, 28), np.uint8)
    clf = ConvNetClassifier(layers, max_iter=1, random_state=0).fit(X, [0, 1])
    title, rule, *rows, second_rule, total, memory = clf.summary().splitlines()
    assert title.split("  ")[0] == "layer"
    assert set(rule) == set(second_rule) == {"-"}
    assert [" ".join(row.split()) for row in rows] == [
        "input 28 x 28 x 1",
        "conv1 Conv2D 28 x 28 x 6 156 117,600",
        "maxpool2d1 MaxPool2D 14 x 14 x 6 0 0",
        "block/conv2 Conv2D 10 x 10 x 16 2,400 240,000",
        "block/maxpool2d1 MaxPool2D 5 x 5 x 16 0 0",
        "dense1 Dense 9 3,609 3,600",
        "output Dense 2 20 18",
    ]
    assert total.split() == ["total", "6,185", "361,218"]
    n_parameters = sum(array.size for array in clf.get_weights().values())
    assert n_parameters == 6185
    assert memory.startswith("training of 2 samples: ")
    clf.predict(X)
    assert clf.summary().splitlines()[-1].startswith("prediction of 2 samples: ")
    # Numbers are right-aligned under their titles.
    assert {len(row) for row in (title, *rows[1:], total)} == {len(rule)}
