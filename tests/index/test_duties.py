"""What a duty remembers: there again after a restart, and refused when it is not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.duties import Duties
from index.environment import Environment, Table
from vault.errors import Damaged


def test_a_duty_remembers_over_a_restart_and_knows_nothing_before_its_first_time(tmp_path: Path) -> None:
    with Environment(tmp_path / "index") as environment:
        duties = Duties(environment)
        assert duties.get("retention") == {}
        duties.put("retention", {"run_us": 7, "why": "钟"})
    with Environment(tmp_path / "index") as environment:
        assert Duties(environment).get("retention") == {"run_us": 7, "why": "钟"}


@pytest.mark.parametrize("raw", [b"", b"odd", b"[]", b"{}", b'{"version":2}'])
def test_what_is_not_ours_is_refused(tmp_path: Path, raw: bytes) -> None:
    with Environment(tmp_path / "index") as environment:
        with environment.write("odd") as txn:
            txn.put(Table.DUTIES, b"retention", raw)
        with pytest.raises(Damaged, match="retention"):
            Duties(environment).get("retention")
