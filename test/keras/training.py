"""Features, first steps and curves of VGG19 as Keras Applications builds it, from the weights and in the order handed over."""

import json
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf

from common import sampled, write_json

FEATURE_PICTURES = 4
FIRST_STEP_PICTURES = 2
POOLINGS = {
    "flatten": keras.layers.Flatten,
    "avg": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
}


def record(inputs: Path, fixtures: Path) -> None:
    described = json.loads((inputs / "inputs.json").read_text())
    results, layouts = {}, {}
    with h5py.File(inputs / "weights.h5") as weights:
        for name, case in described["cases"].items():
            data = data_of(inputs, case["plan"], described["labels"])
            results[name] = run_case(case, weights[name], data)
            exported = inputs / f"{name}.h5"
            if exported.exists():
                unscaled = model_of(case["plan"], weights[name], 1)
                layouts[name] = open_exported(exported, unscaled, data["val"][0])
            if name == "small-similar":
                base = base_of(case["plan"], weights[name])
                write_json(fixtures / "features.json", features_of(base, data["train"][0][:FEATURE_PICTURES]))
    write_json(fixtures / "training.json", results)
    write_json(fixtures / "exported.json", layouts)


def open_exported(path: Path, expected: keras.Model, xs: np.ndarray) -> dict:
    """Opens a model that Headstart wrote, and holds it to the same predictions. Returns what the file says of itself."""
    opened = keras.models.load_model(path, compile=False)
    np.testing.assert_allclose(opened.predict(xs, verbose=0), expected.predict(xs, verbose=0), rtol=0, atol=1e-6)
    with h5py.File(path) as file:
        weights = file["model_weights"]
        return {
            "config": json.loads(file.attrs["model_config"]),
            "layers": {
                layer: {name: weights[layer][name].shape for name in weights[layer].attrs["weight_names"]}
                for layer in weights.attrs["layer_names"]
            },
        }


def data_of(inputs: Path, plan: dict, labels: dict) -> dict:
    """By split: inputs of the network [N, size, size, 3], and classes one-hot [N, classes]."""
    size = plan["inputSize"]
    pixels = np.fromfile(inputs / f"pictures-{size}.bin", np.uint8).reshape(-1, size, size, 3)
    xs = keras.applications.vgg19.preprocess_input(pixels.astype(np.float32))
    one_hot = np.eye(len(plan["classes"]), dtype=np.float32)
    count = len(labels["train"])
    return {
        "train": (xs[:count], one_hot[labels["train"]]),
        "val": (xs[count:], one_hot[labels["val"]]),
    }


def features_of(base: keras.Model, xs: np.ndarray) -> dict:
    pools = [layer.name for layer in base.layers if layer.name.endswith("_pool")]
    outputs = keras.Model(base.input, [base.get_layer(name).output for name in pools]).predict(xs, verbose=0)
    return {name: sampled(values) for name, values in zip(pools, outputs)}


def record_golden(shared: Path, fixtures: Path) -> None:
    """ImageNet weights, as far as block3, on three photographs."""
    with h5py.File(shared / "reference/vgg19_golden_features.h5") as golden:
        pixels = golden["images_rgb_u8"][:]
    base = keras.applications.VGG19(include_top=False, weights=None, input_shape=(224, 224, 3))
    base.load_weights(shared / "weights/vgg19_imagenet_block1-3.h5", by_name=True)
    cut = keras.Model(base.input, base.get_layer("block3_pool").output)
    xs = keras.applications.vgg19.preprocess_input(pixels.astype(np.float32))
    write_json(fixtures / "golden-features.json", features_of(cut, xs))


def base_of(plan: dict, weights: h5py.Group) -> keras.Model:
    size = plan["inputSize"]
    base = keras.applications.VGG19(include_top=False, weights=None, input_shape=(size, size, 3))
    base = keras.Model(base.input, base.get_layer(plan["featureLayer"]).output)
    load(base, weights)
    return base


def load(model: keras.Model, weights: h5py.Group) -> None:
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([weights[layer.name]["kernel"][:], weights[layer.name]["bias"][:]])


def pooled_base(plan: dict, weights: h5py.Group) -> keras.Model:
    base = base_of(plan, weights)
    return keras.Model(base.input, POOLINGS[plan["pooling"]](name="pooled")(base.output))


def scale_of(plan: dict, weights: h5py.Group, pictures: np.ndarray) -> float:
    """One over the deviation of the pictures' pooled features."""
    return 1 / np.std(pooled_base(plan, weights).predict(pictures, verbose=0).astype(np.float64))


def model_of(plan: dict, weights: h5py.Group, scale: float) -> keras.Model:
    """Base and head."""
    pooled = pooled_base(plan, weights)
    x = keras.layers.Rescaling(scale)(pooled.output)
    for index, layer in enumerate(plan["head"]):
        assert layer["dropout"] == 0
        x = keras.layers.Dense(
            layer["units"],
            activation=layer["activation"],
            kernel_regularizer=keras.regularizers.L2(layer["l2"]) if layer["l2"] else None,
            name=f"head_dense_{index + 1}",
        )(x)
    output = keras.layers.Dense(len(plan["classes"]), activation="softmax", name="predictions")(x)
    model = keras.Model(pooled.input, output)
    load(model, weights)
    return model


def run_case(case: dict, weights: h5py.Group, data: dict) -> dict:
    plan, orders = case["plan"], case["orders"]
    xs, targets = data["train"]
    scale = scale_of(plan, weights, xs)
    model = model_of(plan, weights, scale)
    settings = plan["training"]
    given = settings["classWeights"] or {}
    class_weights = {index: given.get(name, 1.0) for index, name in enumerate(plan["classes"])}
    freeze(model, plan["stages"][-1])
    step = first_step(model, settings, xs, targets, np.array(list(class_weights.values()), np.float32))
    curves = []
    for stage in plan["stages"]:
        freeze(model, stage)
        model.compile(
            optimizer=optimizer_of(stage, -(-len(xs) // settings["batchSize"])),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=settings["labelSmoothing"]),
            metrics=["accuracy"],
            jit_compile=False,
        )
        for _ in range(stage["epochs"]):
            order = orders[len(curves)]
            history = model.fit(
                xs[order],
                targets[order],
                batch_size=settings["batchSize"],
                shuffle=False,
                class_weight=class_weights if given else None,
                validation_data=data["val"],
                verbose=0,
            ).history
            curves.append({name: values[0] for name, values in history.items()})
    return {
        "featureScale": scale,
        "firstStep": step,
        "curves": curves,
        "probabilities": model.predict(data["val"][0], verbose=0),
    }


def freeze(model: keras.Model, stage: dict) -> None:
    for layer in model.layers:
        layer.trainable = layer.name in stage["trainedLayers"]


def optimizer_of(stage: dict, steps: int) -> keras.optimizers.Optimizer:
    settings, schedule = stage["optimizer"], stage["schedule"]
    rate = stage["learningRate"]
    assert schedule["warmupEpochs"] == 0 and schedule["type"] in ("constant", "cosine")
    if schedule["type"] == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=stage["epochs"] * steps)
    if settings["type"] == "adam":
        return keras.optimizers.Adam(rate)
    return keras.optimizers.SGD(rate, momentum=settings["momentum"], nesterov=settings["nesterov"])


def first_step(model: keras.Model, settings: dict, xs: np.ndarray, targets: np.ndarray, class_weights) -> dict:
    """Loss and gradients of the pictures that stay furthest from the rectifiers' corners.

    Where a value is zero but for rounding, rounding decides whether a gradient passes: that compares luck, not formulas.
    """
    margins = [margin_of(model, xs[i : i + 1], targets[i : i + 1]) for i in range(len(xs))]
    chosen = np.argsort(margins)[-FIRST_STEP_PICTURES:]
    loss_of = keras.losses.CategoricalCrossentropy(label_smoothing=settings["labelSmoothing"])
    weights = class_weights[targets[chosen].argmax(axis=1)]
    with tf.GradientTape() as tape:
        loss = loss_of(targets[chosen], model(xs[chosen], training=True), sample_weight=weights) + sum(model.losses)
    gradients = tape.gradient(loss, model.trainable_variables)
    return {
        "pictures": chosen,
        "loss": float(loss),
        "gradients": {
            variable.path: sampled(gradient) for variable, gradient in zip(model.trainable_variables, gradients)
        },
    }


def margin_of(model: keras.Model, x: np.ndarray, target: np.ndarray) -> float:
    """The least distance from zero of what a rectifier takes, over the layer's deviation, where a gradient arrives."""
    taken, given = [], []
    with tf.GradientTape() as tape:
        value = tf.constant(x)
        tape.watch(value)
        for layer in model.layers[1:]:
            if getattr(layer, "activation", None) is keras.activations.relu:
                layer.activation = keras.activations.linear
                taken.append(layer(value))
                layer.activation = keras.activations.relu
                value = tf.nn.relu(taken[-1])
                given.append(value)
            else:
                value = layer(value)
        loss = keras.losses.CategoricalCrossentropy()(target, value)
    gradients = tape.gradient(loss, given)
    return min(
        float(tf.reduce_min(tf.abs(before[gradient != 0])) / tf.math.reduce_std(before))
        for before, gradient in zip(taken, gradients)
    )
