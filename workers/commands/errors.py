"""Which exceptions a user of the command line can mend, and what to say of them."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pydantic
from temporalio.service import RPCError

from infra.catalog.source import BadCatalog
from infra.db.cluster import PostgresError
from infra.db.migrate import Drift
from infra.domain.errors import PuchifyError
from infra.drivers.haproxy import CannotRun
from infra.drivers.libvirtd import LibvirtdError
from infra.drivers.store.errors import StoreError
from infra.drivers.xfs import StorageError
from infra.guests.build import BuildFailed, BuildImpossible
from infra.lab.errors import LabError
from infra.runtime_dir import RuntimeDirError
from infra.temporal.cluster import TemporalError
from infra.temporal.go import InstallError
from infra.temporal.schema import SchemaError
from workers.first.caller import Refused
from workers.first.login import NoLogin
from workers.first.server import ServerFailed
from workers.listening import ListeningError
from workers.processes import ProcessError

OURS = (
    *(RuntimeDirError, PostgresError, Drift, TemporalError, SchemaError, InstallError, ProcessError),
    *(StorageError, LibvirtdError, BuildImpossible, BuildFailed, LabError, CannotRun),
    *(PuchifyError, Refused, NoLogin, ServerFailed),
)


@dataclass(frozen=True, slots=True)
class Told:
    lines: list[str]
    code: int = 1


def expected(error: BaseException) -> Told | None:
    """None: nobody expects that, it is a bug."""
    match error:
        case BaseExceptionGroup():
            parts = [expected(one) for one in error.exceptions]
            known = [part for part in parts if part is not None]
            return Told([line for part in known for line in part.lines]) if len(known) == len(parts) else None
        case pydantic.ValidationError(title="Settings"):
            problems = [(_variable(problem["loc"]), problem["msg"]) for problem in error.errors()]
            return Told([f"{name}: {message}" for name, message in problems], 2)
        case BadCatalog():
            return Told(error.message.splitlines())
        case psycopg.OperationalError():
            return Told([f"the database does not answer: {str(error).strip().splitlines()[-1]}"])
        case RPCError():
            return Told([f"Temporal does not answer: {error.message}"])
        case PermissionError():
            return Told([f"{error.strerror}: {error.filename} (is this root?)"])
        case StoreError():
            return Told([f"the image store cannot be used: {error}"])
        case ListeningError():
            return Told([str(error)], 2)
    return Told([str(error)]) if isinstance(error, OURS) else None


def _variable(location: tuple[int | str, ...]) -> str:
    return "PUCHIFY_" + ".".join(map(str, location)).upper()
