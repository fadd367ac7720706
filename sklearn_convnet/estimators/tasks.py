"""Who is told of a fit: its tasks, in scikit-learn's protocol for callbacks.

# Design:
# * `sklearn.callback` came with scikit-learn 1.9 and may still change. This file imports it, and
#   `sklearn_convnet.callbacks` speaks it; with an older scikit-learn, fits run without callbacks.
# * A fit is a task, and each of its epochs is a subtask. A fit that a checkpoint resumes
#   numbers its epochs as if it had not been killed.
"""

import copy

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's, where there is none."""

        def set_callbacks(self, *callbacks):
            """Callbacks need scikit-learn 1.9 or newer."""
            raise ImportError(
                "callbacks need sklearn.callback, which scikit-learn has from version 1.9 on: "
                "install a newer scikit-learn"
            )

    def with_callbacks(method):
        return method


def fit_tasks(estimator):
    """The tasks of a fit that begins; they cost nothing if no callback is set."""
    has_callbacks = getattr(estimator, "_skl_callbacks", None)
    return FitTasks(estimator) if has_callbacks else NoTasks()


class NoTasks:
    """A fit that nobody wants to hear of."""

    def begin(self, X, y, metadata):
        """The fit begins; X, y and metadata as they were given."""

    def train_on(self, X, y, metadata):
        """The samples that the epochs are given: X may be a function that makes it."""

    def repeat(self, n_epochs):
        """So many epochs were done before the fit was killed, and the end of the last may
        not have been told; says whether to stop."""
        return False

    def begin_epoch(self):
        """An epoch begins."""

    def end_epoch(self):
        """An epoch has ended; says whether to stop."""
        return False

    def end(self):
        """The fit has ended."""


class FitTasks(NoTasks):
    """A fit and its epochs, for the callbacks of an estimator."""

    def __init__(self, estimator):
        self.estimator = estimator
        self.fit = estimator._init_callback_context(max_subtasks=estimator.max_iter)

    def begin(self, X, y, metadata):
        # For our own, which must not ask for X: a hook that does is given it at each epoch as
        # well, copied if some of its rows are not trained on.
        progress = self.estimator._progress
        progress.given = X, y, metadata
        self.fit.call_on_fit_task_begin(estimator=self.estimator, X=X, y=y, metadata=metadata)
        progress.given = None

    def train_on(self, X, y, metadata):
        self.data = dict(estimator=self.estimator, X=X, y=y, metadata=metadata)

    def repeat(self, n_epochs):
        for _ in range(n_epochs - 1):
            self.fit.subcontext(task_name="epoch")
        if n_epochs == 0:
            return False
        self.begin_epoch()
        return self.end_epoch()

    def begin_epoch(self):
        self.epoch = self.fit.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(**self.data)

    def end_epoch(self):
        return self.epoch.call_on_fit_task_end(
            **self.data,
            # Made only for a callback that asks for it. Training goes on in `network_`.
            reconstruction_attributes=lambda: {"network_": copy.deepcopy(self.estimator.network_)},
        )

    def end(self):
        self.fit.call_on_fit_task_end(**self.data, reconstruction_attributes={})
