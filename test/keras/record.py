"""Records what Keras computes from the inputs of the tests: `npm run keras:fix` runs it.

    record.py INPUTS FIXTURES [SHARED]

INPUTS is the folder that record.ts writes, FIXTURES the one that the tests read, SHARED the development material, if
it is there.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import tensorflow as tf

import decoding
import rules
import training
from common import write_json


def main(inputs: Path, fixtures: Path, shared: Path | None) -> None:
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    write_json(fixtures / "versions.json", {"keras": keras.__version__, "tensorflow": tf.__version__})
    rules.record(fixtures)
    decoding.record(fixtures)
    training.record(inputs, fixtures)
    if shared is not None:
        decoding.record_photographs(shared, fixtures)
        training.record_golden(shared, fixtures)


main(*map(Path, sys.argv[1:3]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
