"""What the database refuses: the log says which rule it broke, and nothing of the row."""

from __future__ import annotations

import pytest
from psycopg.errors import IntegrityError

from api.errors import answer_to
from tests.db.conftest import Project


async def test_the_log_holds_no_row_that_was_refused(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(IntegrityError) as refused:
        await project.all(
            "INSERT INTO zones (project_id, name, mode, ttl, name_servers, primary_nameservers)"
            """ VALUES (%s, 'a.example', 'none', 60, '{}', '[{"tsig_key": "s3cret"}]')""",
            project.id,
        )

    assert answer_to(refused.value).status_code == 409
    assert "s3cret" in str(refused.value)
    assert "zones_mode_check" in caplog.text
    assert "s3cret" not in caplog.text
