"""The reference MLP a second time, with numpy, straight from its description: what the mirror is checked against."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
SHAPES = {"W1": (12, 64), "B1": (64,), "W2": (64, 32), "B2": (32,), "W3": (32, 2), "B3": (2,)}  # y = x @ W + B


def random_model(seed: int) -> dict[str, Array]:
    """Weights as an operator might have trained them, by the names that stand in his gateway.py."""
    random = np.random.default_rng(seed)
    model = {name: random.normal(0, 1 / np.sqrt(shape[0]), shape) for name, shape in SHAPES.items()}
    model["X_MEAN"] = np.array([24.0, 55.0, 0.5] * 4)
    model["X_STD"] = np.array([3.0, 8.0, 0.29] * 4)
    model["Y_MEAN"] = np.array([24.0, 55.0])
    model["Y_STD"] = np.array([3.0, 8.0])
    return model


def source(model: dict[str, Array], form: str = "array") -> str:
    """The text of a gateway.py that holds the model."""
    lines = ["import numpy as np", "import serial", "raise SystemExit('this file must never be executed')"]
    for name, values in model.items():
        text = repr(values.tolist())
        lines.append(f"{name} = {text}" if form == "list" else f"{name} = np.array({text}, dtype=np.float32)")
    return "\n".join([*lines, "port = serial.Serial('/dev/ttyUSB0')", ""])


def old_time_n(unix_ms: int) -> float:
    """The time of day as the old firmware computes it: of whole seconds, 28,800 s behind UTC."""
    return (unix_ms // 1000 - 28_800) % 86_400 / 86_400


class ReferenceNode:
    """A node with the old firmware, in double precision: one `sample` a minute."""

    def __init__(self, model: dict[str, Array]) -> None:
        self.m = {name: values.copy() for name, values in model.items()}
        row = [*model["Y_MEAN"], 0.5]
        self.window = np.array([row] * 4, dtype=np.float64)

    def sample(self, time_n: float, sent: tuple[float, float] | None = None) -> tuple[float, float]:
        """Predict, train if `sent` is the reading that was sent, shift; the prediction."""
        m = self.m
        x = (self.window.reshape(-1) - m["X_MEAN"]) / m["X_STD"]
        z1 = x @ m["W1"] + m["B1"]
        a1 = np.maximum(z1, 0)
        z2 = a1 @ m["W2"] + m["B2"]
        a2 = np.maximum(z2, 0)
        y = a2 @ m["W3"] + m["B3"]
        predicted = y * m["Y_STD"] + m["Y_MEAN"]
        if sent is not None:
            e3 = y - (np.array(sent) - m["Y_MEAN"]) / m["Y_STD"]
            m["W3"] = m["W3"] - 0.01 * np.outer(a2, e3)
            m["B3"] = m["B3"] - 0.01 * e3
            e2 = (m["W3"] @ e3) * (z2 > 0)
            m["W2"] = m["W2"] - 0.01 * np.outer(a1, e2)
            m["B2"] = m["B2"] - 0.01 * e2
            e1 = (m["W2"] @ e2) * (z1 > 0)
            m["W1"] = m["W1"] - 0.01 * np.outer(x, e1)
            m["B1"] = m["B1"] - 0.01 * e1
        self.window = np.vstack([self.window[1:], [[*predicted, time_n]]])
        return float(predicted[0]), float(predicted[1])


SIGMOID_SHAPES = {"W1": (3, 16), "B1": (16,), "W2": (16, 2), "B2": (2,)}


def random_sigmoid_model(seed: int) -> dict[str, Array]:
    """Weights of the model before March 2026."""
    random = np.random.default_rng(seed)
    model = {name: random.normal(0, 0.5, shape) for name, shape in SIGMOID_SHAPES.items()}
    model["X_MEAN"], model["X_STD"] = np.array([12.0, 35.0, 0.52]), np.array([5.2, 19.3, 0.29])
    model["Y_MEAN"], model["Y_STD"] = np.array([12.0, 34.8]), np.array([5.2, 19.3])
    return model


class OlderGateway:
    """The gateway before March 2026, in double precision: one `second` each second."""

    def __init__(self, model: dict[str, Array], rate: float = 0.05) -> None:
        self.m = {name: values.copy() for name, values in model.items()}
        self.rate = rate
        self.last = self.m["Y_MEAN"].copy()

    def second(self, time_n: float, received: tuple[float, float] | None = None) -> tuple[float, float]:
        """Predict from the last value; if something was received, train towards it and go on from it."""
        m = self.m
        x = (np.array([*self.last, time_n]) - m["X_MEAN"]) / m["X_STD"]
        a = 1 / (1 + np.exp(-np.clip(x @ m["W1"] + m["B1"], -20, 20)))
        y = a @ m["W2"] + m["B2"]
        predicted = y * m["Y_STD"] + m["Y_MEAN"]
        self.last = predicted
        if received is not None:
            error = (np.array(received) - m["Y_MEAN"]) / m["Y_STD"] - y
            m["W2"] = m["W2"] + self.rate * np.outer(a, error)
            m["B2"] = m["B2"] + self.rate * error
            hidden = (m["W2"] @ error) * a * (1 - a)
            m["W1"] = m["W1"] + self.rate * np.outer(x, hidden)
            m["B1"] = m["B1"] + self.rate * hidden
            self.last = np.array(received)
        return float(predicted[0]), float(predicted[1])
