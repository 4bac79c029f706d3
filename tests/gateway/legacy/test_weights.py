"""The operators' weights: every usual way to write them, and every fault with file, variable and remedy."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core.errors import InputError
from aoii.gateway.legacy import weights
from aoii.gateway.legacy.model import Weights
from gateway.reference_mlp import random_model, random_sigmoid_model, source

MODEL = random_model(1)


def written(folder: Path, text: str) -> Path:
    file = folder / "gateway.py"
    file.write_text(text)
    return file


def replaced(name: str, line: str) -> str:
    """The file with the line of one variable replaced."""
    lines = source(MODEL).splitlines()
    return "\n".join(line if text.startswith(f"{name} = ") else text for text in lines)


def numbers(name: str) -> str:
    return repr(MODEL[name].tolist())


@pytest.fixture
def expected(tmp_path: Path) -> Weights:
    (tmp_path / "plain").mkdir()
    return weights.extract_weights(written(tmp_path / "plain", source(MODEL, "list")))


def test_the_numbers_are_those_in_the_file_and_the_file_is_not_executed(expected: Weights) -> None:
    assert expected.scale.x_mean == tuple(MODEL["X_MEAN"].tolist())
    for layer, name in zip(expected.layers, ("1", "2", "3"), strict=True):
        assert layer.weights == tuple(map(tuple, MODEL[f"W{name}"].T.tolist()))
        assert layer.biases == tuple(MODEL[f"B{name}"].tolist())


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("W1", f"W1: list[list[float]] = {numbers('W1')}"),
        ("W1", f"W1 = {MODEL['W1'].T.tolist()}"),
        ("W1", f"W1 = numpy.asarray({numbers('W1')}).T"),
        ("W1", f"W1 = np.array({MODEL['W1'].reshape(-1).tolist()}, np.float32).reshape(12, 64)"),
        ("W1", f"W1 = np.array({MODEL['W1'].T.reshape(-1).tolist()}).reshape((64, -1)).astype('float32')"),
        ("W2", f"raw = {numbers('W2')}\nW2 = np.array(raw, dtype=np.float64).transpose()"),
        ("B1", f"B1 = array.array('f', {numbers('B1')})"),
        ("B1", f"B1 = np.array([{numbers('B1')}])"),
        ("B1", f"if True:\n    B1 = tuple({numbers('B1')})"),
        ("B3", f"B3, epochs = [{MODEL['B3'][0]!r}, +{abs(MODEL['B3'][1])!r}], 5" if MODEL["B3"][1] > 0 else ""),
        ("Y_MEAN", "Y_MEAN = (24, 55)"),
    ],
)
def test_the_usual_ways_to_write_numbers_mean_the_same(tmp_path: Path, expected: Weights, name: str, line: str) -> None:
    file = written(tmp_path, replaced(name, line or f"{name} = {numbers(name)}"))

    assert weights.extract_weights(file) == expected


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("W2", "", "W2 is missing"),
        ("W2", "W2 = np.load('weights.npy')", r"gateway.py:\d+: W2 is computed"),
        ("W2", "W2 = [[float(x) for x in row] for row in open('w')]", r"gateway.py:\d+: W2 is computed"),
        ("W2", "W2 = [[1.0] * 32] * 64", "W2 is computed"),
        ("W2", "W2 = np.array([1.0, 2.0]).reshape(1e999)", "W2 is computed"),
        ("W2", "W2 = np.array([1.0, 2.0]).reshape(-1, -1)", "W2 is computed"),
        ("W2", "W2 = np.array([1.0, 2.0]).reshape(2, 2)", "W2 is computed"),
        ("W2", "W2 = np.array([[1.0, 2.0], [3.0]]).T", "W2 is computed"),
        ("W2", "W2 = [[1.0, 2.0], [3.0]]", "W2 has the shape 2 × uneven; the model has 32 × 64 or 64 × 32"),
        ("W2", "W2 = [[1.0, 2.0], [3.0, 4.0]]", "W2 has the shape 2 × 2"),
        ("W2", "W2 = []", "W2 has the shape 0 × uneven"),
        ("B2", "B2 = [1.0]", "B2 has 1 numbers; the model has 32"),
        ("B2", "B2 = 'secret'", "B2 is computed"),
        ("B2", "B2 = [True] * 32", "B2 is computed"),
        ("X_MEAN", "X_MEAN = [24.0, 55.0]", "X_MEAN has 2 numbers; the model has 12"),
        ("Y_STD", "Y_STD = [0.0, 1.0]", "Y_STD has an entry that is not above 0"),
        ("Y_MEAN", "Y_MEAN = [1e999, 1.0]", "Y_MEAN holds a number that is not finite"),
        ("W3", "W3 = [[", "not Python"),
    ],
)
def test_each_fault_names_the_file_the_variable_and_what_to_do(tmp_path: Path, name: str, line: str, said: str) -> None:
    file = written(tmp_path, replaced(name, line))

    with pytest.raises(InputError, match=said) as caught:
        weights.extract_weights(file)

    assert str(caught.value).startswith(str(file))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="correct MIRROR_WEIGHTS"):
        weights.extract_weights(tmp_path / "absent.py")


def test_other_weights_have_another_fingerprint(tmp_path: Path, expected: Weights) -> None:
    other = weights.extract_weights(written(tmp_path, replaced("B3", "B3 = [0.0, 0.5]")))

    assert other.fingerprint != expected.fingerprint


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("W2", "W2 = [[1.0, 2.0]]", "W2 has the shape 1 × 2; the model has 2 × 16 or 16 × 2"),
        ("B1", "B1 = [1.0]", "B1 has 1 numbers; the model has 16"),
        ("Y_STD", "", "Y_STD is missing"),
    ],
)
def test_faults_of_the_model_with_three_inputs_are_named_too(tmp_path: Path, name: str, line: str, said: str) -> None:
    lines = source(random_sigmoid_model(1)).splitlines()
    text = "\n".join(line if text.startswith(f"{name} = ") else text for text in lines)

    with pytest.raises(InputError, match=said):
        weights.extract_weights(written(tmp_path, text))


@given(
    st.one_of(
        st.binary(max_size=300), st.text(alphabet="W1BX_MEAN =[](),.-+*0123456789\n", max_size=200).map(str.encode)
    )
)
def test_any_bytes_are_weights_or_one_input_error(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.py"
    file.write_bytes(text)

    with pytest.raises(InputError):
        weights.extract_weights(file)
