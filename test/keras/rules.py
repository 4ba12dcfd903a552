"""The rules around training: freezing, optimizers, schedules, early stopping."""

from pathlib import Path

import keras
import numpy as np

from common import rounded, write_json

SCALES = [1e-8, 1e-6, 1e-4, 1e-2, 1, 100]
STEPS = 20


def record(fixtures: Path) -> None:
    write_json(fixtures / "freezing.json", freezing())
    write_json(fixtures / "optimizers.json", {name: trajectory(make()) for name, make in OPTIMIZERS.items()})
    write_json(fixtures / "schedules.json", schedules())
    write_json(fixtures / "early-stopping.json", early_stopping())


def freezing() -> dict:
    """Trainable parameters of VGG19 below a head of 256 and 2, with `model.layers[:N]` frozen."""
    base = keras.applications.VGG19(include_top=False, weights=None, input_shape=(32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(base.output)
    x = keras.layers.Dense(256, activation="relu")(x)
    model = keras.Model(base.input, keras.layers.Dense(2, activation="softmax")(x))

    def trainable(count: int) -> int:
        for index, layer in enumerate(base.layers):
            layer.trainable = index >= count
        return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)

    return {
        "layers": [layer.name for layer in base.layers],
        "parameters": model.count_params(),
        "trainable": [trainable(count) for count in range(len(base.layers) + 1)],
    }


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.01),
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
}


def trajectory(optimizer: keras.optimizers.Optimizer) -> dict:
    """From zero, under gradients of sizes from far below the epsilon to far above it."""
    variable = keras.Variable(np.zeros(len(SCALES), np.float32))
    scales = np.array(SCALES)
    gradients, values = [], []
    for step in range(STEPS):
        gradient = (scales * (1 + 0.5 * np.sin(step + np.arange(len(SCALES))))).astype(np.float32)
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        gradients.append(gradient)
        values.append(keras.ops.convert_to_numpy(variable))
    return {"gradients": gradients, "values": values}


def schedules() -> dict:
    """Rates at steps 0 to 59; six epochs of ten steps."""
    of = keras.optimizers.schedules
    made = {
        "step": of.ExponentialDecay(0.1, decay_steps=20, decay_rate=0.5, staircase=True),
        "cosine": of.CosineDecay(0.1, decay_steps=60),
        "cosine with warm-up": of.CosineDecay(0.0, decay_steps=40, warmup_target=0.1, warmup_steps=20),
    }
    return {name: [float(schedule(step)) for step in range(60)] for name, schedule in made.items()}


def early_stopping() -> list:
    """Random values, and where the callback stops and which epoch's weights it puts back."""
    random = np.random.default_rng(1)
    recorded = []
    for number in range(40):
        monitor = ["valLoss", "valAccuracy"][number % 2]
        patience, min_delta = 1 + number // 2 % 4, [0, 0.03][number // 8 % 2]
        losses = random.uniform(0.5, 1, 10) * 0.85 ** np.arange(10)
        values = losses if monitor == "valLoss" else 1 - losses
        callback = keras.callbacks.EarlyStopping(
            monitor="value",
            mode="min" if monitor == "valLoss" else "max",
            patience=patience,
            min_delta=min_delta,
            restore_best_weights=True,
        )
        model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
        model.compile()
        callback.set_model(model)
        callback.on_train_begin()
        epochs = 0
        while epochs < len(values) and not model.stop_training:
            callback.on_epoch_end(epochs, {"value": rounded(values[epochs])})
            epochs += 1
        recorded.append(
            {
                "monitor": monitor,
                "patience": patience,
                "minDelta": min_delta,
                "values": rounded(values),
                "epochs": epochs,
                "bestEpoch": callback.best_epoch + 1,
            }
        )
    return recorded
