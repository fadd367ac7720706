"""A network, and a training that suits it, where the user gives no layers.

# Design:
# * Network and training were chosen together, on data sets named before (docs/networks.md), and are
#   taken together: a user who gives layers has the training of `MLPClassifier`.
# * A training has a length, so that its learning rate can fall to zero. It is counted in steps, of
#   which small samples need as many as large ones. `MOST_EPOCHS` is the default of `max_iter`.
# * The rate rises to its largest over the first steps. Adam moves each weight by about the rate,
#   however small the gradient; where thousands of values reach a unit, as from flattened maps of
#   volumes, a few whole steps would carry it to where it is zero for all samples, and stays. Few
#   values reach a unit from a table, whose rate is full at once.
# * Pools make a long series short: of nine there are a few positions left, and their mean tells
#   where a pattern is, not how often. After some pools of signals, dilation takes their place. It
#   widens what a unit sees as fast, and the positions stay. Long series are learnt late: the
#   number of steps goes by their length.
# * More steps of fewer samples learn more in the same time. What is learnt in a few hundred steps
#   is learnt as well from half of the samples in each. But too few silence units of volumes.
# * A place is a number that hangs on many units. Dropout among these blurs it, and more steps of
#   more samples make good for that; dropout before the dense layer does no such harm. Fewer steps
#   cost more than fewer samples in each, down to about fifty.
# * Curved borders between the classes of a table are learnt late, and the noise of a small table
#   soon after. So its training is long, with weight decay that fades where there are many rows.
#   Dropout helps small tables as much, but does harm to large ones.
"""

from ..layers import (
    Conv1D,
    Conv2D,
    Conv3D,
    Dense,
    Dropout,
    GlobalAvgPool,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    Standardize,
)
from ..optimizers import Adam, AdamW
from ..schedules import CosineDecay, LinearWarmup
from .inputs import KINDS, likely_kind

#: Samples of a step, by what a sample is, or where boxes or points are learnt: one of so many of
#: them all, but within these.
BATCHES = {
    "table": (10, 32, 200),
    "flat": (10, 32, 200),
    "signal": (20, 16, 200),
    "image": (20, 16, 200),
    "volume": (20, 32, 200),
    "places": (20, 32, 64),
}
#: Length of a training: so many steps, but a number of epochs within these. Places, and tables,
#: whose steps are cheap, have more.
N_STEPS, MANY_STEPS = 300, 900
LEAST_EPOCHS, MOST_EPOCHS = 20, 200
#: Steps of signals, for each position, and the most of them.
STEPS_OF_POSITION, MOST_STEPS = 1.25, 1500
#: The largest learning rate, and the share of the steps in which it rises to that.
LEARNING_RATE, WARM_UP = 2e-3, 0.1

#: Pools of a signal, before convolutions are dilated in their place.
MOST_POOLS = 4

#: Kinds whose network is that of a table.
TABLES = ("table", "flat")

#: Share of the values that are dropped before a dense layer and after it.
DROPOUT = 0.3

#: Weight decay of tables, times the number of samples, of which it is at least so many.
DECAY, FEWEST = 300, 32


def default_layers(sample_shape, kind=None, smallest=(), tells_places=False):
    """A network that does well without tuning, for samples of this shape.

    Of a table, which flat samples are taken for, columns are standardised one by one, and a dense
    layer follows. Otherwise channels are, and convolutions follow, over 3 (signals: 5) neighbours,
    that keep the size, each with a max pool by 2 while the maps are at least 4 long; 32 filters,
    then 64, then 128. After four pools of signals, the convolutions that follow are dilated by 2,
    4, ... in the place of pools, and are as many as with these. A dense layer sees the maps, or the
    means of those of signals, with dropout before it, and after it unless boxes or points are
    learnt.

    Parameters
    ----------
    sample_shape : tuple of int
        Channels last.
    kind : str or None, default=None
        One of `KINDS`; None is what the shape looks like.
    smallest : tuple of int, default=()
        Where samples differ in size: the smallest length of each axis, while which is at least 4
        there are pools. The dense layer then sees the means of the maps.
    tells_places : bool, default=False
        Whether boxes or points are learnt.
    """
    kind = kind or likely_kind(sample_shape)
    if kind in TABLES:
        return [Standardize(per="value"), Dense(128)]
    n_axes = KINDS[kind]
    conv = {1: Conv1D, 2: Conv2D, 3: Conv3D}[n_axes]
    pool = {1: MaxPool1D, 2: MaxPool2D, 3: MaxPool3D}[n_axes]
    kernel_size = 5 if kind == "signal" else 3
    layers = [Standardize()]
    size, filters = min(sample_shape[:n_axes]), 32
    of_smallest = min((smallest or sample_shape)[:n_axes])
    n_pools, dilation = 0, 1
    while True:
        layers.append(conv(filters, kernel_size, padding="same", dilation=dilation))
        if size < 4:
            break
        if kind == "signal" and n_pools == MOST_POOLS:
            dilation *= 2
        elif of_smallest >= 4:
            layers.append(pool(2))
            n_pools += 1
        size, of_smallest = size // 2, of_smallest // 2
        if size < 4:
            break
        filters = min(2 * filters, 128)
    means = [GlobalAvgPool()] if smallest or kind == "signal" else []
    after = [] if tells_places else [Dropout(DROPOUT)]
    return [*layers, *means, Dropout(DROPOUT), Dense(128), *after]


def default_batch_size(n_samples, kind, tells_places=False):
    """How many samples a step has, of so many; where `tells_places`, boxes or points are learnt."""
    share, smallest, largest = BATCHES["places" if tells_places else kind]
    return min(n_samples, max(smallest, min(largest, n_samples // share)))


def default_n_epochs(n_samples, batch_size, kind=None, tells_places=False, length=0):
    """How many epochs a training has; more for tables, for boxes and points, which `tells_places`,
    and for signals of a long `length`."""
    n_batches = -(-n_samples // batch_size)
    n_steps = MANY_STEPS if tells_places or kind in TABLES else N_STEPS
    if kind == "signal":
        n_steps = max(n_steps, min(MOST_STEPS, round(STEPS_OF_POSITION * length)))
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, -(-n_steps // n_batches)))


def default_optimizer(n_epochs, n_samples, batch_size, kind):
    """Adam, with a learning rate that falls to zero in so many epochs. First it rises for a tenth
    of the steps; that of tables does not, but their weights decay."""
    rate = CosineDecay(LEARNING_RATE, period=n_epochs)
    if kind in TABLES:
        return AdamW(rate, weight_decay=DECAY / max(n_samples, FEWEST))
    n_batches = -(-n_samples // batch_size)
    return Adam(LinearWarmup(rate, length=max(1, round(WARM_UP * n_epochs * n_batches))))
