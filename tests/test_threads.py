"""Models in several threads of one program, and interpreters without a global lock."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from small_estimators import N, classifier, images, layers, regressor, three_classes

from sklearn_convnet.layers import Dropout

N_THREADS = 4


def models():
    """Unfitted ones with their y: of both kinds, with different seeds, on one thread and on two."""
    for seed in range(N_THREADS):
        given = {"random_state": seed, "n_threads": 1 + seed % 2}
        yield classifier([*layers(), Dropout(0.2)], **given), three_classes()
        yield regressor(**given), np.arange(float(N))


def fitted_bits(model_and_y):
    """Weights after a fit, and what is predicted then, as bytes."""
    model, y = model_and_y
    model.fit(images(), y)
    arrays = [*model.get_weights().values(), model.predict(images())]
    return [np.asarray(array).tobytes() for array in arrays]


def test_models_that_are_fitted_at_once_have_the_bits_of_one_after_another():
    alone = [fitted_bits(each) for each in models()]
    with ThreadPoolExecutor(N_THREADS) as pool:
        at_once = list(pool.map(fitted_bits, models()))
    assert at_once == alone
    assert at_once[0] != at_once[2]


def test_one_model_predicts_in_several_threads_at_once():
    model = classifier().fit(images(), three_classes())
    alone = model.predict_proba(images()).tobytes()
    with ThreadPoolExecutor(N_THREADS) as pool:
        parts = pool.map(lambda _: model.predict_proba(images()).tobytes(), range(8 * N_THREADS))
    assert set(parts) == {alone}


def test_no_kernels_turn_the_global_lock_on(run_python):
    script = """
    import sys
    import numpy, scipy.sparse.linalg, sklearn.neural_network

    is_on = getattr(sys, "_is_gil_enabled", lambda: True)  # without a choice it always is
    before = is_on()
    import sklearn_convnet
    from sklearn_convnet.kernels import loader

    for variant in loader.variants():
        for dtype in loader.DTYPES:
            loader.kernels(dtype, variant)
    print(is_on() == before)
    """
    assert run_python(script).strip() == "True"
