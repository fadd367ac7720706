"""scikit-learn's own checks, on both estimators with their defaults."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor


@parametrize_with_checks([ConvNetClassifier(), ConvNetRegressor()])
def test_check(estimator, check):
    check(estimator)
