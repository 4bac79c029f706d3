"""The sources of what is shipped: found, excluded, described; and files that are a value or one error."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core.errors import InputError
from aoii.lab import sources
from aoii.lab.mlp_weights import parse_mlp
from aoii.lab.prior_fit import parse_prior
from aoii.simulation import recordings


def test_groups_are_excluded_by_name() -> None:
    assert sources.is_excluded("ARM_met_1min.csv.gz", ["arm"])
    assert not sources.is_excluded("surfrad.csv", ["arm", "occupancy"])
    assert sources.find([], ["arm", "occupancy"]) == [recordings.SHIPPED]


def test_a_source_that_is_nowhere_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"arm_met_1min\.csv\.gz .* --exclude arm"):
        sources.find([tmp_path], [])


def test_a_file_is_described_by_its_hash_and_its_licence_if_that_is_known(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(b"x")

    shipped, mine = sources.provenance([recordings.SHIPPED, path])

    assert shipped["licence"].endswith("public domain")
    assert mine == {"file": "mine.csv", "licence": "not known to aoii", "sha256": hashlib.sha256(b"x").hexdigest()}


def test_json_has_rows_of_numbers_on_one_line_and_means_the_same() -> None:
    content = {"a": [[1, 2], [-3, 4.5]], "b": "text"}

    text = sources.encode_json(content)

    assert "[1, 2]" in text.replace("[ ", "[").replace(" ]", "]")
    assert json.loads(text) == content


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["weights", "unit", "layers"]), inner),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_a_value_or_one_error(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))

    for parse in (parse_prior, parse_mlp):
        with pytest.raises(InputError):
            parse(path)


def test_files_that_do_not_exist_are_rejected(tmp_path: Path) -> None:
    for parse in (parse_prior, parse_mlp):
        with pytest.raises(InputError, match="cannot be read"):
            parse(tmp_path / "none.json")
