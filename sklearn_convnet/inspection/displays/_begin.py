"""An estimator as it is when training begins: what displays of training look at."""

from copy import copy

import numpy as np
from sklearn.base import clone

from ...batches import Samples
from ...beside import apart
from ...estimators.targets.base import Target
from ...optimizers import OPTIMIZERS
from ._pictures import check_estimator_kind


def begun(estimator, given, learning_rate):
    """A trainer and its samples, where `fit` of an estimator would begin.

    It trains a network of its own: a new one, or with ``warm_start=True`` a copy of the last one.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor
        It stays as it is.
    given : Given
        What `fit` would be given.
    learning_rate : Schedule
        It takes the place of the optimiser's.

    Returns
    -------
    trainer : Trainer
    samples : Samples
    """
    check_estimator_kind(estimator)
    estimator._validate()
    warm = estimator.warm_start and hasattr(estimator, "network_")
    twin = copy(estimator) if warm else clone(estimator)
    optimizer = clone(estimator._resolved(estimator.optimizer, OPTIMIZERS))
    twin.optimizer = optimizer.set_params(learning_rate=learning_rate)
    twin.average_weights = None  # the loss of a step is that of the weights themselves
    news = twin._news() if warm else frozenset()
    X = twin._check_X(given.X, not warm, news, sizes="unequal")
    checked = twin._checked(twin._beside(X, given.features, not warm), given)
    copied = None
    if warm:
        twin._training_state = None
        twin._go_on(news)
    else:
        copied = twin._begin(checked)
    twin._check_training(checked.X)
    return twin._ready(checked, copied)


def augmented_batches(estimator, given, n_samples, n_draws, random_state):
    """The first samples, and what training makes of them, time and again.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor
        It stays as it is, and need not be fitted.
    given : Given
        As for `fit`; y may be None.
    n_samples, n_draws : int
        Number of samples, and how often each is changed.
    random_state : RandomState

    Returns
    -------
    twin : ConvNetClassifier or ConvNetRegressor
        It knows what X and y are.
    batches : list of (X, target)
        The samples as they are, then each of the draws. The target is encoded, or None without y.
    """
    check_estimator_kind(estimator)
    if estimator.augmentation is None and estimator.multi_crop is None:
        raise ValueError(
            f"this {type(estimator).__name__} has neither augmentation nor multi_crop: training "
            "sees X as it is"
        )
    twin = clone(estimator).set_params(warm_start=False)
    twin._validate()
    X, target = twin._check_X(given.X, True), None
    X = twin._beside(X, given.features, reset=True)
    dtype = twin._work_dtype(X)
    if given.y is None:
        twin._target, X = Target(), apart(X[:n_samples])[0]
    else:
        checked = twin._checked(X, given)
        checked = checked.take(slice(n_samples))
        twin._begin(checked)
        (X, _), target = apart(checked.X[checked.rows]), twin._target.encode(checked.y, dtype)
    batches = [(X, target)]
    for _ in range(n_draws):
        changed, moved = _changed(twin, X.astype(dtype, order="C"), target, random_state)
        batches.append((changed, None if target is None else moved))
    return twin, batches


def _changed(twin, X, target, random_state):
    """A batch after augmentation and crops, mixed; of two targets it has that of the sample."""
    augment, mix = twin._augment(), twin._mix()
    if augment is not None:
        X, target, _ = augment(X, target, None, random_state)
    if mix is None:
        return X, target
    rows = np.zeros(len(X)) if target is None else target
    mixed = mix(Samples(X, rows, np.ones(len(X))), random_state)
    return mixed.X, mixed.target
