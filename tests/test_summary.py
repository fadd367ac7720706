"""The table of a network: layers, units, receptive fields, work and memory."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import Conv2D, Dense, Dropout, MaxPool2D, Sequential, Standardize
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.summary import network_summary


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
    table = clf.summary()
    title, rule, *rows, second_rule, total, training, prediction = str(table).splitlines()
    assert title.split("  ")[0] == "layer"
    assert set(rule) == set(second_rule) == {"-"}
    assert [" ".join(row.split()) for row in rows] == [
        "input 28 x 28 x 1",
        "conv1 Conv2D 28 x 28 x 6 4,704 5 x 5 156 117,600",
        "maxpool2d1 MaxPool2D 14 x 14 x 6 1,176 6 x 6 0 0",
        "block/conv2 Conv2D 10 x 10 x 16 1,600 14 x 14 2,400 240,000",
        "block/maxpool2d1 MaxPool2D 5 x 5 x 16 400 16 x 16 0 0",
        "dense1 Dense 9 9 all 3,609 3,600",
        "output Dense 2 2 all 20 18",
    ]
    assert total.split() == ["total", "7,891", "6,185", "361,218"]
    n_parameters = sum(array.size for array in clf.get_weights().values())
    assert n_parameters == 6185
    assert training.startswith("training of 2 samples: ")
    assert prediction.startswith("prediction of 256 samples: ")
    clf.predict(X)
    assert str(clf.summary()) == str(table)
    # Numbers are right-aligned under their titles.
    assert {len(row) for row in (title, *rows[1:], total)} == {len(rule)}
    frame = table.to_frame()
    assert frame["output shape"].tolist()[:2] == [(28, 28, 1), (28, 28, 6)]
    assert frame["receptive field"].tolist()[-3:] == [(16, 16), "all", "all"]
    assert frame["parameters"].sum() == 6185
    assert '<td style="text-align:left">14 x 14</td>' in table._repr_html_()


def test_a_summary_can_be_sent_to_another_process():
    network = compile_network([Conv2D(2, 3), Dense(2)], (6, 6))
    table = network_summary(network)
    assert str(pickle.loads(pickle.dumps(table))) == str(table)


def test_the_memory_of_a_summary_is_that_of_passes():
    X, y = np.zeros((300, 12, 12), np.float32), np.arange(300) % 2
    layers = [Conv2D(4, 3), MaxPool2D(2), Dense(9)]
    clf = ConvNetClassifier(layers, batch_size=64, max_iter=1, random_state=0).fit(X, y)
    clf.predict(X)
    peaks = clf.network_.peak_memory()
    assert {name: n for name, (n, _) in peaks.items()} == {"training": 60, "prediction": 256}
    before = str(clf.summary())
    for name, (n, n_bytes) in peaks.items():
        assert f"{name} of {n} samples: {n_bytes / 2**20:,.1f} MiB" in before
    again = pickle.loads(pickle.dumps(clf.trim()))
    for trimmed in (clf, again):  # nothing has run, and nothing that training needs is made
        assert str(trimmed.summary()) == before
        assert trimmed.network_.grads is None
    assert "training" not in again.network_.peak_memory()


def test_the_summary_of_a_network():
    network = compile_network([Standardize(), Dense(3), Dropout()], (5,))
    table = network_summary(network)
    assert [row[4] for row in table.rows] == [None, None, "all", "all"]
    assert table.notes == []
    network.forward(np.zeros((7, 5)))
    assert network_summary(network).notes[0].startswith("prediction of 7 samples: ")
