"""The networks of Keras' own examples, in our words, on its PyTorch backend.

Images: "Simple MNIST convnet", 15 epochs of batches of 128, a tenth for validation. Series:
"Timeseries classification from scratch", three convolutions with batch norm, up to 500 epochs of
batches of 32, a learning rate that falls, and the best weights on a fifth of the data. Maps: "Image
segmentation with a U-Net-like architecture", as it was in 2020: RMSprop, 15 epochs, and the best
weights. Tables: "Structured data classification from scratch", 50 epochs, and for numbers the
regression tutorial of TensorFlow: two layers of 64, 100 epochs, the absolute error. All but maps
with Adam.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import layers
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler

CLASSES = "sparse_categorical_crossentropy"


def simple_convnet(inputs):
    """Without its output layer. Padded where nothing would be left, as of images of 8 x 8."""
    sizes = inputs.shape[1:-1]
    convolution, pool = {
        2: (layers.Conv2D, layers.MaxPooling2D),
        3: (layers.Conv3D, layers.MaxPooling3D),
    }[len(sizes)]
    padding = "same" if any(((size - 2) // 2 - 2) // 2 < 1 for size in sizes) else "valid"
    x = inputs
    for filters in (32, 64):
        x = pool(2)(convolution(filters, 3, activation="relu", padding=padding)(x))
    return layers.Dropout(0.5)(layers.Flatten()(x))


def convolutions_along_time(inputs):
    """Without its output layer."""
    x = inputs
    for _ in range(3):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(64, 3, padding="same")(x)))
    return layers.GlobalAveragePooling1D()(x)


def unet_like(inputs, n_classes):
    """Separable convolutions down, transposed ones up, and a shortcut around each pair."""
    x = layers.Conv2D(32, 3, strides=2, padding="same")(inputs)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    before = x
    for filters in (64, 128, 256):
        for _ in range(2):
            x = layers.Activation("relu")(x)
            x = layers.SeparableConv2D(filters, 3, padding="same")(x)
            x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        before = layers.Conv2D(filters, 1, strides=2, padding="same")(before)
        x = before = layers.add([x, before])
    for filters in (256, 128, 64, 32):
        for _ in range(2):
            x = layers.Activation("relu")(x)
            x = layers.Conv2DTranspose(filters, 3, padding="same")(x)
            x = layers.BatchNormalization()(x)
        x = layers.UpSampling2D(2)(x)
        before = layers.Conv2D(filters, 1, padding="same")(layers.UpSampling2D(2)(before))
        x = before = layers.add([x, before])
    x = layers.Conv2D(n_classes, 3, padding="same")(x)
    # A row of pixels: PyTorch refuses the gradient of a softmax over maps as Keras lays them out.
    return layers.Softmax()(layers.Reshape((-1, n_classes))(x))


def table_of_classes(inputs):
    return layers.Dropout(0.5)(layers.Dense(32, activation="relu")(inputs))


def table_of_numbers(inputs):
    x = layers.Dense(64, activation="relu")(inputs)
    return layers.Dense(64, activation="relu")(x)


def trunk_of(task, kind):
    if kind == "signal":
        return convolutions_along_time
    if kind == "table":
        return table_of_classes if task == "classification" else table_of_numbers
    return simple_convnet


def best(**stopping):
    return keras.callbacks.EarlyStopping(monitor="val_loss", restore_best_weights=True, **stopping)


def recipe(task, kind):
    """Arguments of `Model.fit`."""
    if task == "segmentation":
        callbacks = [best(patience=15)]
        return dict(batch_size=32, epochs=15, validation_split=0.2, callbacks=callbacks)
    if kind == "signal":
        slower = keras.callbacks.ReduceLROnPlateau(
            monitor="val_loss", factor=0.5, patience=20, min_lr=1e-4
        )
        callbacks = [best(patience=50), slower]
        return dict(batch_size=32, epochs=500, validation_split=0.2, callbacks=callbacks)
    if kind == "table":
        epochs = 50 if task == "classification" else 100
        return dict(batch_size=32, epochs=epochs, validation_split=0.2)
    return dict(batch_size=128, epochs=15, validation_split=0.1)


class Example(BaseEstimator):
    """Brings X and y to the form that Keras takes, and makes the network when it has seen them.

    Columns of tables are standardised, and so are numbers to predict. The validation part is the
    end of the data, so the data are shuffled first.
    """

    def __init__(self, task, kind, seed):
        self.task = task
        self.kind = kind
        self.seed = seed

    def fit(self, X, y):
        keras.utils.set_random_seed(self.seed)
        if self.kind == "table":
            self.scaler_ = StandardScaler().fit(X)
        if self.task == "regression":
            self.numbers_ = StandardScaler().fit(y[:, np.newaxis])
            y = self.numbers_.transform(y[:, np.newaxis])
        order = np.random.RandomState(self.seed).permutation(len(X))
        X, y = self._scaled(X)[order], y[order]
        self.model_ = self._model(X, y)
        if self.task == "boxes":
            y = [y[:, 0], y[:, 1:]]
        elif self.task == "segmentation":
            y = y.reshape(len(y), -1)
        self.model_.fit(X, y, verbose=0, **recipe(self.task, self.kind))
        return self

    def predict(self, X):
        found = self.model_.predict(self._scaled(X), verbose=0)
        if self.task == "boxes":
            return np.column_stack([found[0].argmax(axis=-1), found[1]])
        if self.task == "segmentation":
            return found.argmax(axis=-1).reshape(X.shape[:3])
        if self.task == "classification":
            return found.argmax(axis=-1)
        return self.numbers_.inverse_transform(found)[:, 0] if self.task == "regression" else found

    def _scaled(self, X):
        X = self.scaler_.transform(X) if self.kind == "table" else X
        return np.asarray(X, np.float32)

    def _model(self, X, y):
        inputs = keras.Input(X.shape[1:])
        if self.task == "segmentation":
            model = keras.Model(inputs, unet_like(inputs, int(y.max()) + 1))
            model.compile(optimizer="rmsprop", loss=CLASSES)
            return model
        x = trunk_of(self.task, self.kind)(inputs)
        loss = "mean_absolute_error" if self.kind == "table" else "mean_squared_error"
        if self.task == "classification":
            outputs, loss = layers.Dense(int(y.max()) + 1, activation="softmax")(x), CLASSES
        elif self.task == "boxes":
            n_classes = int(y[:, 0].max()) + 1
            outputs = [layers.Dense(n_classes, activation="softmax")(x), layers.Dense(8)(x)]
            loss = [CLASSES, loss]
        else:
            outputs = layers.Dense(y.shape[1])(x)
        model = keras.Model(inputs, outputs)
        model.compile(optimizer="adam", loss=loss)
        return model


def make(problem):
    return Example(problem.task, problem.kind, problem.seed)
