"""Layers as a diagram in a notebook."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor, diagram
from sklearn_convnet.architectures import lenet5, resnet, resnet_cifar
from sklearn_convnet.augmentation import Compose, RandomFlip
from sklearn_convnet.diagram import MAX_BOXES, MAX_INSIDE, MAX_TOP
from sklearn_convnet.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    DenseBlock,
    Gate,
    GlobalAvgPool,
    MaxPool2D,
    Parallel,
    Residual,
    SeparableConv2D,
    Sequential,
    SqueezeExcite,
)
from sklearn_convnet.optimizers import SGD


class Reader(HTMLParser):
    """A page as nested lists: a serial list of what stands below each other, a tuple of what stands
    side by side, and texts of labels."""

    def __init__(self, html):
        super().__init__()
        self.open, self.whole, self.label = [], [], None
        self.stack = [self.whole]
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        classes = (dict(attrs).get("class") or "").split()
        if tag == "div":
            kind = next((c for c in ("sk-serial", "sk-parallel") if c in classes), None)
            self.open.append(kind)
            if kind:
                self.stack.append([])
        elif tag == "label":
            self.label = ""

    def handle_endtag(self, tag):
        if tag == "label" and self.label is not None:
            self.stack[-1].append(" ".join(self.label.split()))
            self.label = None
        elif tag == "div" and self.open:
            kind = self.open.pop()
            if kind:
                inside = self.stack.pop()
                if len(inside) == 1 and isinstance(inside[0], list):  # a wrapper
                    (inside,) = inside
                self.stack[-1].append(tuple(inside) if kind == "sk-parallel" else inside)

    def handle_data(self, data):
        if self.label is not None:
            self.label += f" {data}"


def drawn(shown):
    """What is drawn below the label of an estimator; the icon in its label is left out."""
    (page,) = (item for item in Reader(shown._repr_html_()).whole if not isinstance(item, str))
    return page


def details(html):
    """Texts that boxes unfold to."""
    return [unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", html, re.DOTALL)][1:]


BLOCKS = [
    ("conv", Conv2D(4, 3, padding="same")),
    ("same", Residual([("c", Conv2D(4, 3, padding="same"))])),
    ("half", Residual([("c", Conv2D(8, 3, stride=2, padding="same"))])),
    ("side", Parallel([Conv2D(2, 1), "passthrough", [MaxPool2D(3, 1, "same"), Conv2D(3, 1)]])),
    ("dense", DenseBlock([("a", Conv2D(4, 1)), ("b", Conv2D(4, 1))])),
    ("gate", Gate([("c", Conv2D(1, 1))])),
    ("squeeze", SqueezeExcite()),
    ("chain", Sequential([("sep", SeparableConv2D(4, 3))])),
    ("average", GlobalAvgPool()),
]


@pytest.mark.oldest
def test_layers_before_a_fit():
    assert drawn(ConvNetClassifier(BLOCKS)) == [
        "conv: Conv2D",
        "same: Residual",
        (["c: Conv2D"], ["shortcut: auto"]),
        "half: Residual",
        (["c: Conv2D"], ["shortcut: auto"]),
        "side: Parallel",
        (
            ["branch1: Conv2D"],
            ["branch2: passthrough"],
            ["branch3: Sequential", ["maxpool2d1: MaxPool2D", "conv2d1: Conv2D"]],
        ),
        "dense: DenseBlock",
        ["a: Conv2D", "b: Conv2D"],
        "gate: Gate",
        (["c: Conv2D"], ["identity"]),
        "squeeze: SqueezeExcite",
        "chain: Sequential",
        ["sep: SeparableConv2D"],
        "average: GlobalAvgPool",
    ]


@pytest.mark.oldest
def test_layers_and_shapes_after_a_fit(maps):
    X, y = maps
    clf = ConvNetClassifier(BLOCKS, max_iter=1, random_state=0)
    boxes = np.tile([0.0, 0.0, 2.0, 2.0], (len(y), 1))
    clf.fit(X, y, boxes=boxes).set_params(layers=None)  # the network stays as it was
    assert drawn(clf) == [
        "input, 6 x 6 x 2",
        "conv: Conv2D 6 x 6 x 4",
        "same: Residual, 6 x 6 x 4",
        (["c: Conv2D 6 x 6 x 4"], ["identity"]),
        "half: Residual, 3 x 3 x 8",
        (["c: Conv2D 3 x 3 x 8"], ["conv: Conv2D 3 x 3 x 8", "norm: BatchNorm 3 x 3 x 8"]),
        "side: Parallel, 3 x 3 x 13",
        (
            ["branch1: Conv2D 3 x 3 x 2"],
            ["identity"],
            [
                "branch3: Sequential, 3 x 3 x 3",
                ["maxpool2d1: MaxPool2D 3 x 3 x 8", "conv2d1: Conv2D 3 x 3 x 3"],
            ],
        ),
        "dense: DenseBlock, 3 x 3 x 21",
        ["a: Conv2D 3 x 3 x 4", "b: Conv2D 3 x 3 x 4"],
        "gate: Gate, 3 x 3 x 21",
        (["c: Conv2D 3 x 3 x 1"], ["identity"]),
        "squeeze: SqueezeExcite 3 x 3 x 21",
        "chain: Sequential, 1 x 1 x 4",
        ["sep: SeparableConv2D 1 x 1 x 4"],
        "average: GlobalAvgPool 4",
        "outputs: Outputs, 7",
        (["output: Dense 3"], ["box: Dense 4"]),
    ]


@pytest.mark.oldest
def test_boxes_unfold_to_parameters_that_are_not_at_their_defaults():
    layers = [("conv", Conv2D(6, 5, stride=1, padding="same")), ("norm", BatchNorm())]
    block = Residual(layers, shortcut="identity")
    html = ConvNetClassifier([("block", block), Dense(9, activation="tanh")])._repr_html_()
    assert details(html) == [
        "Residual(shortcut='identity')",
        "Conv2D(filters=6, kernel_size=5, padding='same')",
        "BatchNorm()",
        "Dense(activation='tanh', units=9)",
    ]


@pytest.mark.oldest
def test_blocks_alone_and_inside_of_others():
    shortcut = Residual([Conv2D(8, 3)], shortcut=Conv2D(8, 1))
    assert drawn(shortcut) == (["conv2d1: Conv2D"], ["shortcut: Conv2D"])
    assert drawn(Sequential([shortcut])) == [
        "residual1: Residual",
        (["conv2d1: Conv2D"], ["shortcut: Conv2D"]),
    ]
    assert drawn(Compose([RandomFlip()])) == ["randomflip1: RandomFlip"]
    net = ConvNetRegressor([Dense(3)])
    for around in (make_pipeline(FunctionTransformer(), net), GridSearchCV(net, {})):
        assert ["dense1: Dense"] in flat_lists(drawn(around))


def flat_lists(page):
    """All lists in it."""
    yield page
    for item in page:
        if not isinstance(item, str):
            yield from flat_lists(item)


@pytest.mark.oldest
@pytest.mark.parametrize("layers", [None, [], [1, ("b",)], "wrong", Dense])
def test_without_layers_there_is_a_table_alone(layers):
    html = ConvNetClassifier(layers)._repr_html_()
    assert "sk-serial" not in html.split("</style>")[1]
    assert "batch_size" in html


def n_boxes(page):
    return sum(1 if isinstance(item, str) else n_boxes(item) for item in page)


@pytest.mark.parametrize("layers", [resnet(152), resnet_cifar(20), [Dense(2)] * 500])
def test_the_number_of_boxes_is_limited(layers):
    page = drawn(ConvNetClassifier(layers))
    assert n_boxes(page) <= MAX_BOXES
    assert all(len(items) <= 2 * MAX_TOP for items in flat_lists(page))


def test_what_is_left_out_is_counted():
    long = ConvNetClassifier([Dense(2)] * (MAX_TOP + 5))
    assert drawn(long)[-2:] == [f"dense{MAX_TOP - 1}: Dense", "... 6 more"]
    assert len(drawn(ConvNetClassifier([Dense(2)] * MAX_TOP))) == MAX_TOP
    inside = ConvNetClassifier([Sequential([Dense(2)] * (MAX_INSIDE + 1))])
    assert drawn(inside)[1][-1] == "... 2 more"
    stage = drawn(ConvNetClassifier(resnet(152)))
    assert stage[stage.index("stage3: Sequential") + 1][-1] == "... 65 more"
    assert stage[-1] == "average: GlobalAvgPool"


@pytest.mark.oldest
def test_links_to_the_documentation(monkeypatch):
    clf = ConvNetClassifier(lenet5(), optimizer=SGD())
    assert diagram.documentation_url() == ""  # as long as there is none online
    assert 'sk-estimator-doc-link"' not in clf._repr_html_().split("</style>")[1]
    monkeypatch.setattr(diagram, "documentation_url", lambda: "https://docs.example")
    links = re.findall(r'href="(https://docs[^"#]*)"', clf._repr_html_())
    assert {
        "https://docs.example/sklearn_convnet.ConvNetClassifier.html",
        "https://docs.example/sklearn_convnet.layers.Conv2D.html",
    } <= set(links)
    assert SGD()._get_doc_link() == "https://docs.example/sklearn_convnet.optimizers.SGD.html"

    class Own(Conv2D):
        pass

    assert Own(1, 1)._get_doc_link() == ""
    assert isinstance(clf, BaseEstimator)


def test_where_the_documentation_is(monkeypatch):
    class Metadata:
        def get_all(self, key):
            return {
                "Project-URL": ["Source, https://a.example", "Documentation, https://d.example/"]
            }[key]

    diagram.documentation_url.cache_clear()
    monkeypatch.setattr(diagram, "metadata", lambda name: Metadata())
    try:
        assert diagram.doc_link_template() == (
            "https://d.example/{estimator_module}.{estimator_name}.html"
        )
    finally:
        diagram.documentation_url.cache_clear()
