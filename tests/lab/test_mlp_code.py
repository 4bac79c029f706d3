"""Weights as code: the gateway reads its numbers back, and a C compiler those of the firmware; both are the same."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from aoii.gateway.legacy.weights import extract_weights
from aoii.lab.mlp_code import encode_header, encode_literals
from aoii.lab.mlp_weights import SCALES, Accuracy, MlpWeights, parse_mlp

ACCURACY = Accuracy(1400, 0.98765, 0.05, 0.3)
MADE_FROM = [{"file": 'a"""\nb\\.csv', "licence": "mine", "sha256": "0" * 64}]
NAMES = (*SCALES, "W1", "B1", "W2", "B2", "W3", "B3")


def single(array: object) -> list[float]:
    """Every number of an array in single precision."""
    return [float(value) for value in np.asarray(array).astype(np.float32).ravel()]


def numbers(weights: MlpWeights) -> list[float]:
    layers = [array for layer in weights.layers for array in layer]
    return [value for array in (*(getattr(weights, name) for name in SCALES), *layers) for value in single(array)]


def test_the_gateway_reads_the_literals_back(tmp_path: Path) -> None:
    weights = parse_mlp()
    path = tmp_path / "weights.py"
    path.write_text(encode_literals(weights, MADE_FROM, ACCURACY), encoding="utf-8")

    read = extract_weights(path)

    assert [list(getattr(read.scale, name)) for name in SCALES] == [single(getattr(weights, name)) for name in SCALES]
    for layer, (matrix, biases) in zip(read.layers, weights.layers, strict=True):
        assert [value for row in layer.weights for value in row] == single(matrix.T)
        assert list(layer.biases) == single(biases)


def test_the_header_has_the_arrays_of_the_firmware_with_the_same_numbers() -> None:
    weights = parse_mlp()

    header = encode_header(weights, MADE_FROM, ACCURACY)

    arrays = dict(re.findall(r"^float (\w+)[\[\d\]]+ = \{(.*?)^\};", header, re.MULTILINE | re.DOTALL))
    assert list(arrays) == list(NAMES)
    assert "float W1[12][64] = {" in header
    assert "float B1[64] = {" in header
    literals = [text for array in arrays.values() for text in re.findall(r"[-+.e\d]+f", array)]
    assert [float(np.float32(text[:-1])) for text in literals] == numbers(weights)
    assert all("." in text or "e" in text for text in literals)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
def test_a_compiler_takes_the_header_and_has_the_same_numbers(tmp_path: Path) -> None:
    weights = parse_mlp()
    (tmp_path / "weights.h").write_text(encode_header(weights, MADE_FROM, ACCURACY), encoding="utf-8")
    dumps = "".join(f"dump({name}, sizeof {name} / sizeof(float));" for name in NAMES)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "weights.h"\n#include "weights.h"\n'
        "static void dump(void *a, unsigned n) {\n"
        'for (unsigned i = 0; i < n; i++) printf("%.9g\\n", ((float *)a)[i]); }\n'
        f"int main(void) {{ W1[0][0] += 0; {dumps} return 0; }}\n"
    )

    subprocess.run(["cc", "-Wall", "-Werror", "-o", "main", "main.c"], cwd=tmp_path, check=True, timeout=60)
    printed = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True, timeout=60).stdout

    assert [float(np.float32(line)) for line in printed.split()] == numbers(weights)


def test_both_name_their_sources_and_their_accuracy_in_comments_that_nothing_can_leave() -> None:
    for encode, sign in ((encode_header, "//"), (encode_literals, "#")):
        head = encode(parse_mlp(), MADE_FROM, ACCURACY).splitlines()[:4]

        assert all(line.startswith(f"{sign} ") for line in head)
        assert "R² 0.98765, mean absolute error 0.0500 °C and 0.3000 %RH on the 1400 samples" in head[1]
        assert "mine" in head[3]
