"""A training handed to a compute pool by Snowflake's own client, as far as no account is needed.

The client asks for the pool, looks for the stage, and puts the whole payload there; then it asks
which runtime there is, which only an account knows.
"""

import json

import pytest

import circuitscope_core as cs
from circuitscope_core.launch import parse_backend
from circuitscope_core.launch.ml_job import PACKAGE, JobSite, SnowflakeJobs
from circuitscope_core.launch.work import Assignment
from circuitscope_core.stages import StageLocation, StageStore
from circuitscope_core.training import RunFolder
from tests.texts import tiny_config

pytestmark = pytest.mark.contract
UNKNOWN = ("002141", "Unknown function SYSTEM$GET_ML_JOB_RUNTIME")


def test_the_payload_is_put_into_the_stage_whole_before_the_job_begins(
    account, session, stage, tmp_path
):
    names, files = stage
    account.fail(r"^CALL SYSTEM\$GET_ML_JOB_RUNTIME", *UNKNOWN)
    store = StageStore(session, StageLocation(names, "runs/mine"))
    folder = RunFolder(tmp_path)
    backend = parse_backend("snowflake:CS_POOLx2")
    site = JobSite(backend, store, folder, lambda: SnowflakeJobs(session))
    config = tiny_config().to_json()
    source = f"@{'.'.join(names)}/pile"
    with pytest.raises(cs.StageError, match="Handing a training to CS_POOL did not work"):
        site.start(Assignment(config, (source,), "mine"))
    assert site.rejoin() is None
    put = {path.name: path for path in files.rglob("*") if path.is_file()}
    assert json.loads(put["settings.json"].read_text()) == config
    assert "entry.py" in put
    arrived = {
        path.relative_to(folder)
        for folder in files.rglob(PACKAGE.name)
        for path in folder.rglob("*.py")
    }
    ours = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")}
    assert arrived == ours
    sent = account.statements
    assert sent[0] == "SHOW COMPUTE POOLS LIKE ?"
    puts = [item for item in sent if item.startswith("PUT")]
    assert puts
    assert all("AUTO_COMPRESS = FALSE" in item.upper() for item in puts)
    asked = sent[-1]
    assert asked.startswith("CALL SYSTEM$GET_ML_JOB_RUNTIME('CS_POOL', ")
    assert '"pythonVersion": "3.11"' in asked
    assert '"runtimeEnvironment": "2.10"' in asked
