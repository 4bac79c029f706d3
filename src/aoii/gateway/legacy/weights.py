"""Extracts the mirrored model's weights from the operators' `gateway.py`, which is parsed and never executed.

The file may hold literals at its top level: numbers, lists and tuples, the usual wrappers around them
(`np.array([...], dtype=...)`, `.reshape(64, 12)`, `.T`, `array("f", [...])`), and names of variables assigned before.
Everything else is skipped, but for the learning rate of the model with three inputs. A matrix may be transposed: all
layer sizes differ, so its shape shows the direction.
"""

import ast
import hashlib
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from aoii.core.errors import InputError
from aoii.gateway.legacy import mirror, sigmoid_mirror
from aoii.gateway.legacy.layers import Layer, Matrix, Scale, Vector
from aoii.gateway.legacy.model import Weights

UPDATE = "online_update"  # the method of the older gateway's model; its argument `lr` is the learning rate
SIZE_LIMIT_BYTES = 16 * 1024 * 1024  # 3,000 weights with 20 digits each are 70 kB

# Functions and methods that return the numbers that they are given.
WRAPPERS = {"array", "asarray", "ascontiguousarray", "list", "tuple", "float", "float32", "float64"}
UNCHANGED = {"astype", "copy", "tolist"}

Tree = float | list["Tree"]
"""A number, or a list of such trees."""


class Variable(NamedTuple):
    """The last assignment to a variable: its line, and its numbers; None if they would have to be computed."""

    line: int
    tree: Tree | None


class _NotLiteral(ValueError):  # noqa: N818 - a signal inside this file
    """An expression that would have to be executed."""


def extract_weights(path: Path) -> Weights:
    """Extract the variables of the model from a Python file: ten, or the eight of the model with three inputs.

    Raises:
        InputError: The file cannot be read or parsed, or a variable is missing, is not a literal, has another shape or
            a number that is not usable; the message names file, variable and remedy.
    """
    try:
        with path.open("rb") as file:
            source = file.read(SIZE_LIMIT_BYTES + 1)
        if len(source) > SIZE_LIMIT_BYTES:
            raise InputError(
                f"{path}: larger than {SIZE_LIMIT_BYTES} bytes", "name the gateway.py that holds the weights"
            )
        module = ast.parse(source)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "correct MIRROR_WEIGHTS") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{path}: not Python ({error})", "name the gateway.py that holds the weights") from error
    found = _assigned(module)
    is_sigmoid = _has_three_inputs(found)
    shapes = sigmoid_mirror.SHAPES if is_sigmoid else mirror.SHAPES
    sizes = {"X_MEAN": shapes[0][0], "X_STD": shapes[0][0], "Y_MEAN": shapes[-1][1], "Y_STD": shapes[-1][1]}
    sizes |= {f"B{layer}": outputs for layer, (_, outputs) in enumerate(shapes, 1)}
    vectors = {name: _vector(path, name, found, size) for name, size in sizes.items()}
    matrices = {
        f"W{layer}": _matrix(path, f"W{layer}", found, outputs, inputs)
        for layer, (inputs, outputs) in enumerate(shapes, 1)
    }
    for name in ("X_STD", "Y_STD"):
        if min(vectors[name]) <= 0.0:
            raise InputError(f"{path}: {name} has an entry that is not above 0", "export the standard deviations again")
    scale = Scale(vectors["X_MEAN"], vectors["X_STD"], vectors["Y_MEAN"], vectors["Y_STD"])
    layers = tuple(Layer(matrices[f"W{layer}"], vectors[f"B{layer}"]) for layer in range(1, len(shapes) + 1))
    rate = _learning_rate(module) if is_sigmoid else mirror.LEARNING_RATE
    numbers = [number for name in sorted(vectors) for number in vectors[name]]
    numbers += [number for name in sorted(matrices) for row in matrices[name] for number in row]
    numbers += [rate] if is_sigmoid else []
    fingerprint = hashlib.sha256(struct.pack(f"<{len(numbers)}d", *numbers)).hexdigest()[:16]
    return Weights(scale, layers, fingerprint, rate)


def _has_three_inputs(found: dict[str, Variable]) -> bool:
    """Whether the model is the one of the time before March 2026."""
    x_mean = found.get("X_MEAN", Variable(0, None)).tree
    return x_mean is not None and len(list(_flat(x_mean))) == sigmoid_mirror.INPUTS


def _learning_rate(module: ast.Module) -> float:
    """The learning rate with which the file calls the older gateway's model; that of its class if there is none."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == UPDATE:
            for keyword in node.keywords:
                match keyword:
                    case ast.keyword(arg="lr", value=ast.Constant(value=float(rate))) if 0.0 < rate <= 1.0:
                        return rate
    return sigmoid_mirror.LEARNING_RATE


def _assigned(module: ast.Module) -> dict[str, Variable]:
    """The last assignment to each variable, by its name."""
    found: dict[str, Variable] = {}
    for statement in _top_level(module.body):
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        for target in targets:
            for name, expression in _pairs(target, value):
                try:
                    tree = _evaluate(expression, found)
                except (ValueError, OverflowError, RecursionError):
                    tree = None
                found[name] = Variable(statement.lineno, tree)
    return found


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of the module itself, also inside `if`, `try` and `with`, but not inside functions and classes."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _top_level(statement.body)
            yield from _top_level(getattr(statement, "orelse", []))


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Each name that an assignment binds, with its expression; `a, b = 1, 2` binds two."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for one, its_value in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, its_value)


def _evaluate(node: ast.expr, known: dict[str, Variable]) -> Tree:
    """The numbers of an expression.

    Raises:
        ValueError, OverflowError: It is not a literal, its rows differ in length, or a number is too large.
    """
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            inner = _evaluate(operand, known)
            if isinstance(inner, list):
                raise _NotLiteral
            return -inner if isinstance(sign, ast.USub) else inner
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_evaluate(item, known) for item in items]
        case ast.Name(id=name) if name in known:
            earlier = known[name].tree
            if earlier is not None:
                return earlier
        case ast.Attribute(value=inner, attr="T"):
            return _transposed(_evaluate(inner, known))
        case ast.Call():
            return _call(node, known)
    raise _NotLiteral


def _call(node: ast.Call, known: dict[str, Variable]) -> Tree:
    match node.func:
        case ast.Attribute(value=inner, attr=attr) if attr in UNCHANGED:
            return _evaluate(inner, known)
        case ast.Attribute(value=inner, attr="transpose") if not node.args:
            return _transposed(_evaluate(inner, known))
        case ast.Attribute(value=inner, attr="reshape"):
            shape = node.args[0].elts if len(node.args) == 1 and isinstance(node.args[0], ast.Tuple) else node.args
            return _reshaped(_evaluate(inner, known), [_evaluate(size, known) for size in shape])
        case ast.Attribute(attr=attr) | ast.Name(id=attr) if attr in WRAPPERS:
            # array("f", [...]) names its type first, np.array([...], "float32") last
            for item in node.args:
                if not (isinstance(item, ast.Constant) and isinstance(item.value, str)):
                    return _evaluate(item, known)
    raise _NotLiteral


def _transposed(tree: Tree) -> Tree:
    if not isinstance(tree, list) or not all(isinstance(row, list) for row in tree):
        return tree  # the transpose of a vector is the vector
    rows = [row for row in tree if isinstance(row, list)]
    return [list(column) for column in zip(*rows, strict=True)]


def _reshaped(tree: Tree, shape: list[Tree]) -> Tree:
    numbers: list[Tree] = list(_flat(tree))
    sizes = [int(size) for size in shape if isinstance(size, float)]
    if len(sizes) not in (1, 2) or len(sizes) != len(shape):
        raise _NotLiteral
    if len(sizes) == 1:
        return numbers
    height, width = sizes
    if width == -1 and height > 0:
        width = len(numbers) // height
    if width < 1 or len(numbers) % width or height not in (-1, len(numbers) // width):
        raise _NotLiteral
    return [numbers[start : start + width] for start in range(0, len(numbers), width)]


def _flat(tree: Tree) -> Iterator[float]:
    if isinstance(tree, list):
        for item in tree:
            yield from _flat(item)
    else:
        yield tree


def _tree(path: Path, name: str, found: dict[str, Variable]) -> Tree:
    """The numbers of a variable.

    Raises:
        InputError: It is missing or computed, or one of its numbers is not finite.
    """
    if name not in found:
        raise InputError(f"{path}: {name} is missing", "name the gateway.py that holds the weights of the model")
    line, tree = found[name]
    if tree is None:
        raise InputError(f"{path}:{line}: {name} is computed", "write its numbers into the file")
    if not all(math.isfinite(number) for number in _flat(tree)):
        raise InputError(f"{path}: {name} holds a number that is not finite", "train or export the model again")
    return tree


def _vector(path: Path, name: str, found: dict[str, Variable], size: int) -> Vector:
    tree = _tree(path, name, found)
    numbers = tuple(_flat(tree))
    if len(numbers) != size:
        raise InputError(f"{path}: {name} has {len(numbers)} numbers", f"the model has {size}")
    return numbers


def _matrix(path: Path, name: str, found: dict[str, Variable], height: int, width: int) -> Matrix:
    """A matrix of this shape, transposed if the file has it the other way round.

    Raises:
        InputError: The variable cannot be used, or has neither shape.
    """
    tree = _tree(path, name, found)
    rows = tree if isinstance(tree, list) else [tree]
    numbers = [tuple(_flat(row)) for row in rows]
    shape = (len(numbers), len(numbers[0]) if numbers and len({len(row) for row in numbers}) == 1 else 0)
    if shape == (width, height):
        numbers = list(zip(*numbers, strict=True))
    elif shape != (height, width):
        raise InputError(
            f"{path}: {name} has the shape {shape[0]} × {shape[1] or 'uneven'}",
            f"the model has {height} × {width} or {width} × {height}",
        )
    return tuple(numbers)
