import json
from pathlib import Path

import numpy as np

SAMPLE_COUNT = 32


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(rounded(value), indent=1) + "\n")


def rounded(value):
    """Nine digits tell float32 values apart."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [rounded(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.9g}")
    return value.item() if isinstance(value, np.generic) else value


def sampled(values, count: int = SAMPLE_COUNT) -> dict:
    """As `Sampled` in test/support/keras.ts."""
    flat = np.asarray(values, dtype=np.float32).ravel()
    count = min(count, flat.size)
    return {
        "length": flat.size,
        "norm": np.linalg.norm(flat.astype(np.float64)),
        "largest": np.abs(flat).max(),
        "sample": [flat[i * flat.size // count] for i in range(count)],
    }
