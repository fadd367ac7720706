"""The block of a transformer, against PyTorch's own, with the same weights."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from math import prod

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sklearn_convnet.layers import TransformerBlock  # noqa: E402
from sklearn_convnet.network import compile_network  # noqa: E402

RTOL = 1e-9
N_HEADS, UNITS = 3, 17
SHAPES = [(7, 12), (3, 4, 12), (2, 3, 2, 12)]


def torch_block(network, channels, activation):
    """PyTorch's layer with the weights of the network; it keeps matrices transposed, and those of
    queries, keys and values in one."""
    block = torch.nn.TransformerEncoderLayer(
        channels, N_HEADS, UNITS, 0.0, activation, batch_first=True, norm_first=True,
        dtype=torch.float64,
    )  # fmt: skip
    arrays = network.parameters()
    attention = "transformerblock1/attention/attention"
    mlp = "transformerblock1/mlp"
    qkv = ("query", "key", "value")
    values = {
        "norm1.weight": arrays["transformerblock1/attention/norm/scale"],
        "norm1.bias": arrays["transformerblock1/attention/norm/offset"],
        "self_attn.in_proj_weight": np.vstack([arrays[f"{attention}/{one}"].T for one in qkv]),
        "self_attn.in_proj_bias": np.hstack([arrays[f"{attention}/{one}_bias"] for one in qkv]),
        "self_attn.out_proj.weight": arrays[f"{attention}/output"].T,
        "self_attn.out_proj.bias": arrays[f"{attention}/output_bias"],
        "norm2.weight": arrays[f"{mlp}/norm/scale"],
        "norm2.bias": arrays[f"{mlp}/norm/offset"],
        "linear1.weight": arrays[f"{mlp}/dense1/weight"].reshape(channels, UNITS).T,
        "linear1.bias": arrays[f"{mlp}/dense1/bias"],
        "linear2.weight": arrays[f"{mlp}/dense2/weight"].reshape(UNITS, channels).T,
        "linear2.bias": arrays[f"{mlp}/dense2/bias"],
    }
    block.load_state_dict({name: torch.tensor(a.copy()) for name, a in values.items()})
    return block


def gradients_like_torch(network, channels):
    """The gradients of the network, by PyTorch's names."""
    found = {}
    grads = network.gradients()
    arrays = {path.removeprefix("transformerblock1/"): grads[path] for path in grads}
    inner = "attention/attention"
    found["norm1.weight"], found["norm1.bias"] = (
        arrays[f"attention/norm/{name}"] for name in ("scale", "offset")
    )
    found["norm2.weight"], found["norm2.bias"] = (
        arrays[f"mlp/norm/{name}"] for name in ("scale", "offset")
    )
    qkv = ("query", "key", "value")
    found["self_attn.in_proj_weight"] = np.vstack([arrays[f"{inner}/{one}"].T for one in qkv])
    found["self_attn.in_proj_bias"] = np.hstack([arrays[f"{inner}/{one}_bias"] for one in qkv])
    found["self_attn.out_proj.weight"] = arrays[f"{inner}/output"].T
    found["self_attn.out_proj.bias"] = arrays[f"{inner}/output_bias"]
    for i, shape in ((1, (channels, UNITS)), (2, (UNITS, channels))):
        found[f"linear{i}.weight"] = arrays[f"mlp/dense{i}/weight"].reshape(shape).T
        found[f"linear{i}.bias"] = arrays[f"mlp/dense{i}/bias"]
    return found


def compiled(shape, activation):
    """A network of one block, none of whose weights is 0 or 1."""
    layer = TransformerBlock(N_HEADS, UNITS, activation)
    network = compile_network([layer], shape, dtype="float64", random_state=0)
    rng = np.random.RandomState(0)
    for array in network.parameters().values():
        array += rng.uniform(-0.3, 0.3, array.shape)
    return network


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_and_gradients(shape, activation):
    network = compiled(shape, activation)
    block = torch_block(network, shape[-1], activation)
    rng = np.random.RandomState(1)
    X, dY = rng.normal(size=(2, 5, *shape))

    rows = torch.tensor(X.reshape(5, prod(shape[:-1]), shape[-1]), requires_grad=True)
    expected = block(rows)
    expected.backward(torch.tensor(dY.reshape(expected.shape)))
    Y = network.forward(X, training=True)
    dX = network.backward(dY)

    def check(actual, expected):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(actual.reshape(expected.shape), expected, atol=RTOL * scale)

    check(Y, expected.detach().numpy())
    check(network.forward(X), expected.detach().numpy())
    check(dX, rows.grad.numpy())
    gradients = gradients_like_torch(network, shape[-1])
    assert gradients.keys() == dict(block.named_parameters()).keys()
    for name, parameter in block.named_parameters():
        check(gradients[name], parameter.grad.numpy())


@pytest.mark.parametrize("units", [None, 10])
def test_number_of_parameters(units):
    channels = 24
    network = compile_network([TransformerBlock(4, units)], (5, channels))
    block = torch.nn.TransformerEncoderLayer(channels, 4, units or 4 * channels, norm_first=True)
    count = sum(array.size for array in network.parameters().values())
    assert count == sum(parameter.numel() for parameter in block.parameters())
    m = units or 4 * channels
    assert count == 4 * channels**2 + 2 * channels * m + 9 * channels + m
