"""A short fuzzing of every reader, the same each time; `python -m tests.fuzz` goes on for long."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.fuzz.readers import READERS, Reader
from tests.fuzz.tried import attempt, workplace


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_only_errors_of_bistil(reader: Reader):
    with workplace() as folder:

        @settings(
            max_examples=max(4, int(60 * reader.weight)),
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def tried(data):
            attempt(reader, data.draw(reader.inputs()), folder)

        tried()
