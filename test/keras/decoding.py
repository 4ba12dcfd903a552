"""Pictures as `image_dataset_from_directory` reads them."""

import base64
import hashlib
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from common import write_json

# Smaller, larger and odd.
SIZES = [16, 23, 8]
PHOTOGRAPHS = 16
PHOTOGRAPH_SAMPLE = 200


def record(fixtures: Path) -> None:
    pictures = sorted((fixtures / "pictures").iterdir())
    recorded = {}
    for index, picture in enumerate(pictures):
        size = SIZES[index % len(SIZES)]
        values = base64.b64encode(read(picture, size).astype("<f4").tobytes()).decode()
        recorded[picture.name] = {"size": size, "values": values, "accurate": accurate_digest(picture)}
    write_json(fixtures / "decoding.json", recorded)


def accurate_digest(picture: Path) -> str | None:
    if picture.suffix != ".jpg":
        return None
    pixels = tf.io.decode_jpeg(tf.io.read_file(str(picture)), dct_method="INTEGER_ACCURATE").numpy()
    with Image.open(picture) as pillow:
        assert np.array_equal(pixels.squeeze(), np.asarray(pillow)), picture
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def record_photographs(shared: Path, fixtures: Path) -> None:
    """Every so manieth value of some photographs at 224 pixels."""
    root = shared / "data/ants_bees"
    files = sorted(root.glob("*/*/*.jpg"))
    chosen = files[:: len(files) // PHOTOGRAPHS][:PHOTOGRAPHS]
    recorded = {}
    for file in chosen:
        values = read(file, 224).ravel()
        recorded[str(file.relative_to(root))] = values[:: values.size // PHOTOGRAPH_SAMPLE][:PHOTOGRAPH_SAMPLE]
    write_json(fixtures / "photographs.json", recorded)


def read(picture: Path, size: int) -> np.ndarray:
    """One picture through the real function: [size, size, 3] float32, 0..255."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "class").mkdir()
        shutil.copy(picture, Path(folder) / "class")
        dataset = keras.utils.image_dataset_from_directory(
            folder, image_size=(size, size), batch_size=1, shuffle=False, verbose=False
        )
        xs, _ = next(iter(dataset))
        return np.asarray(xs[0], np.float32)
