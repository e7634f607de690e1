"""Why trainings were made, beside a table: written, read back, and refused where it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasbench_tab.benchmarks.origins import FILE, read_origins, write_origins
from nasbench_tab.errors import TableError

WORDS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=12
)
KEYS = st.tuples(WORDS, st.integers(0, 10**18), st.integers(-5, 10))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.dictionaries(KEYS, WORDS, max_size=6))
def test_what_is_written_reads_back(
    tmp_path: Path, origins: dict[tuple[str, int, int], str]
) -> None:
    write_origins(tmp_path, [(*key, origin) for key, origin in origins.items()])
    assert read_origins(tmp_path) == origins


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert read_origins(tmp_path) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n",
        "training,index,seed,origin\nx,1,-1\n",
        "training,index,seed,origin\nx,one,-1,rs\n",
        "training,index,seed,origin\nx,1,-1,rs\nx,1,-1,re\n",
        'training,index,seed,origin\nx,1,-1,"rs\n',
    ],
)
def test_a_damaged_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(TableError, match=r"origins\.csv cannot be read"):
        read_origins(tmp_path)
