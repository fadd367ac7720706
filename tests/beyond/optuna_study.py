"""One study of Optuna by two processes, in a storage that they share.

    python optuna_study.py FOLDER

starts both, and prints whether every number in the study is that of a fit in this process.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D, Rescale
from sklearn_convnet.optimizers import Adam

N_EPOCHS = 5
FILTERS, RATES = (4, 8), (1e-6, 1e-4, 1e-2)


def split():
    X, y = load_digits(return_X_y=True)
    X, y = X[:600].reshape(-1, 8, 8).astype(np.float32), y[:600]
    return train_test_split(X, y, random_state=0)


def scores(filters, learning_rate):
    """Validation scores, epoch by epoch."""
    X, X_val, y, y_val = split()
    clf = ConvNetClassifier(
        [Rescale(1 / 16), Conv2D(filters, 3), MaxPool2D(2), Dense(16)],
        optimizer=Adam(learning_rate),
        batch_size=32,
        random_state=0,
    )
    for _ in range(N_EPOCHS):
        yield clf.partial_fit(X, y, classes=np.arange(10)).score(X_val, y_val)


def objective(trial):
    trial.set_user_attr("process", os.getpid())
    filters = trial.suggest_categorical("filters", FILTERS)
    rate = trial.suggest_categorical("learning_rate", RATES)
    for epoch, score in enumerate(scores(filters, rate)):
        trial.report(score, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return score


def study_in(folder):
    storage = JournalStorage(JournalFileBackend(str(Path(folder) / "journal.log")))
    return optuna.create_study(
        storage=storage,
        study_name="digits",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.ThresholdPruner(lower=0.5, n_warmup_steps=2),
        load_if_exists=True,
    )


def main(folder):
    study = study_in(folder)
    for filters in FILTERS:
        for rate in RATES:
            study.enqueue_trial({"filters": filters, "learning_rate": rate})
    command = [sys.executable, __file__, folder, "--work"]
    for worker in [subprocess.Popen(command) for _ in range(2)]:
        assert worker.wait() == 0
    trials = study_in(folder).trials
    told = [list(trial.intermediate_values.values()) for trial in trials]
    again = [list(scores(**trial.params))[: len(told[trial.number])] for trial in trials]
    print(
        json.dumps(
            {
                "trials": len({tuple(trial.params.values()) for trial in trials}),
                "same": told == again,
                "processes": len({trial.user_attrs["process"] for trial in trials}),
                "states": sorted({trial.state.name for trial in trials}),
                "epochs": [len(values) for values in told],
                "pruned": [trial.state == TrialState.PRUNED for trial in trials],
            }
        )
    )


if __name__ == "__main__":
    if "--work" in sys.argv:
        study_in(sys.argv[1]).optimize(objective, n_trials=3)
    else:
        main(sys.argv[1])
