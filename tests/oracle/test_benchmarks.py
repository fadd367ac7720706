"""Networks and layers of the benchmarks, beside their twins in PyTorch and JAX."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import compare  # noqa: E402
import layer_rows  # noqa: E402
import networks  # noqa: E402
import peers  # noqa: E402

QUICK = ("lenet5", "resnet20", "digits", "inception-time-100", "tdnn-100", "fcn-100", "volumes-32")
every_net = pytest.mark.parametrize(
    "net",
    [pytest.param(n, marks=[] if n in QUICK else pytest.mark.whole) for n in networks.NETS],
)


@every_net
@pytest.mark.filterwarnings("ignore:Using padding='same'")  # of even filters
@pytest.mark.parametrize("twin", ["PyTorch", "JAX"])
def test_networks(net, twin):
    ours, theirs = (peers.PEERS[name].predict(net, 2, 1)[1] for name in ("sklearn_convnet", twin))
    assert compare.difference(ours, theirs) <= compare.TOLERANCE["predict"]


@pytest.mark.parametrize("row", layer_rows.rows())
def test_layers(row):
    makers = [layer_rows.MAKERS[name] for name in ("sklearn_convnet", "PyTorch")]
    ours, theirs = (make(f"{row}, step", None, 1)[1] for make in makers)
    assert compare.difference(ours, theirs) <= compare.TOLERANCE["layers"]
    assert "output" in ours.keys() & theirs.keys()
    assert np.isfinite(theirs["output"]).all()
