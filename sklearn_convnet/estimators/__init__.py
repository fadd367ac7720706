"""The estimators, and what only they share. What lies below imports nothing from here.

::

    classifier.py  regressor.py         what a user sees: parameters, predictions, scores
    base.py                             what both share: the course of a fit
    inputs.py  checks.py  weights.py    what a user gave, checked
    targets.py  class_weight.py         kinds of y
    transfer.py  warm_start.py          weights of another network, and of the last fit
    history.py                          curves
    tasks.py  checkpoint_file.py        who is told of a fit, and what a checkpoint is
"""
