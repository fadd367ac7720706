"""The estimators, and what only they share. What lies below imports nothing from here.

::

    classifier.py  regressor.py             what a user sees: parameters, predictions, scores
    base.py                                 what both share: the course of a fit
      samples.py                            X, y and weights, as the trainer takes them
        inputs.py  checks.py  weights.py    each of them, checked
      targets/  class_weight.py             kinds of y
      networks.py                           the network of a fit, new or from the last one
        transfer.py  warm_start.py          weights of another network, and of the last fit
      fitted.py                             what is there after a fit
        history.py                          curves
      tasks.py  checkpoint_file.py          who is told of a fit, and what a checkpoint is
"""
