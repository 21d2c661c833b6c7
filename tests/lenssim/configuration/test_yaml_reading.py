"""YAML 1.2: which plain values are numbers, texts and booleans, and what is refused."""

import math
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lenssim.configuration.yaml_reading import MAX_FILE_SIZE, format_yaml, parse_yaml, read_yaml
from lenssim.errors import SpecError, UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # YAML 1.2.2, section 10.3.2
        ("null", None),
        ("~", None),
        ("", None),
        ("True", True),
        ("FALSE", False),
        ("0", 0),
        ("-19", -19),
        ("+12", 12),
        ("0o14", 12),
        ("0xC", 12),
        ("0.", 0.0),
        ("-.5", -0.5),
        (".5", 0.5),
        ("-.2", -0.2),
        ("12e03", 12000.0),
        ("1e12", 1e12),
        ("1e-23", 1e-23),
        ("-2E+05", -200000.0),
        ("+12.3", 12.3),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        # texts, some of which YAML 1.1 reads as something else
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2023-12-01", "2023-12-01"),
        ("1.0.0", "1.0.0"),
        ("=", "="),
        ("<<", "<<"),
        ("e5", "e5"),
        ("-", "-"),
        (".", "."),
        ("'1e12'", "1e12"),
    ],
)
def test_plain_values_follow_the_core_schema(text, value):
    if text == "-":  # a list with an empty entry, not a plain value
        assert parse_yaml(text, "here") == [None]
        return
    found = parse_yaml(text, "here")
    assert found == value
    assert type(found) is type(value)


def test_a_leading_zero_is_decimal():
    assert parse_yaml("010", "here") == 10


def test_not_a_number_is_a_number():
    assert math.isnan(parse_yaml(".nan", "here"))


def test_a_key_may_be_called_no():
    assert parse_yaml("no: 1\non: {off: no}", "here") == {"no": 1, "on": {"off": "no"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml, line 3: key 'a' is given twice, first in line 1."),
        ("b:\n  a: 1\n  a: 1\n", "x.yaml, line 3: key 'a' is given twice, first in line 2."),
        ("a: &x [1]\nb: *x\n", "x.yaml, line 2: aliases are not allowed, and *x is one."),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "x.yaml, line 3: aliases are not allowed"),
        ("a: 1\nnull: b\n", "x.yaml, line 2: a key must be a text or a number, not None."),
        ("a: 1\n[1]: b\n", "x.yaml, line 2: a key must be a text or a number, not [1]."),
        ("0.1: a\n1e-1: b\n", "x.yaml, line 2: key '0.1' is given twice, first in line 1."),
        ("a: 1\nb: [\n", "x.yaml, line 3 is not valid YAML: "),
        ("a: b: c", "x.yaml is not valid YAML: mapping values are not allowed here."),
        ("a: !!python/name:os.system x", "x.yaml is not valid YAML: could not determine"),
        ("a: !!binary aGk=", "x.yaml is not valid YAML: could not determine a constructor"),
        ("a: !!int x", "x.yaml is not valid YAML: "),
        ("a\x00b", "x.yaml is not valid YAML: special characters are not allowed."),
        ("--- 1\n--- 2\n", "x.yaml, line 2 is not valid YAML: but found another document."),
        ("[" * 20_000, "x.yaml is nested too deeply."),
        ("9" * 5000, "x.yaml is not valid YAML: "),
    ],
)
def test_what_is_refused_is_one_sentence_with_the_line(text, message):
    with pytest.raises(UsageError) as caught:
        parse_yaml(text, "x.yaml")
    said = str(caught.value)
    assert said.startswith(message)
    assert said.endswith(".")
    assert "\n" not in said


def test_the_error_is_of_the_kind_that_is_asked_for():
    with pytest.raises(SpecError):
        parse_yaml("[", "here", SpecError)


def test_many_keys_are_read_in_a_moment():
    text = "\n".join(f"key{i}: 0" for i in range(20_000))
    start = time.perf_counter()
    assert len(parse_yaml(text, "here")) == 20_000
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "not a text file"),
        (lambda path: path.write_text("#" * (MAX_FILE_SIZE + 1)), "larger than"),
        (lambda path: path.symlink_to("/dev/zero"), "larger than"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, make, message):
    path = tmp_path / "x.yaml"
    make(path)
    with pytest.raises(UsageError, match=message) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(str(path))


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes("a: ü\n".encode("utf-8-sig"))
    assert read_yaml(path) == {"a": "ü"}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_written_is_read_back(values):
    assert parse_yaml(format_yaml(values), "here") == values


@pytest.mark.parametrize("text", ["1e12", "no", "-.2", "0o17", "12:30", "2023-12-01", "null", "~"])
def test_a_text_that_looks_like_something_else_is_quoted_for_every_reader(text):
    written = format_yaml({"key": text})
    assert parse_yaml(written, "here") == yaml.safe_load(written) == {"key": text}


def test_a_value_that_occurs_twice_is_written_twice():
    shared = ["a", "b"]
    assert "*" not in format_yaml({"first": shared, "second": shared})
