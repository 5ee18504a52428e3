"""The fixtures every suite may ask for, by subject."""

import os

import hypothesis  # its plugin would import it while a failure is reported, too deep for CPython 3.11
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# What an example takes says nothing on a machine that is busy.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Before anything reads the settings: hosts that are gone are given up in two seconds instead of ten.
os.environ.setdefault("PUCHIFY_TIMEOUT_FACTOR", "0.2")
# Compressed as well, and still enough for a Debian that boots emulated on a busy machine.
os.environ.setdefault("PUCHIFY_GUEST_PATIENCE", "2000")


LONG = ("tests/lab/", "tests/region/", "tests/faults/")
"""Labs, each made once for all its tests, and the fault matrix: what asks most of a machine, one after the other."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no process is left alone with it in the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


class ByFile(LoadScopeScheduling):
    """A file is one process's work, so that what its tests share is made once; so is all that takes long together."""

    def _split_scope(self, nodeid: str) -> str:
        return "long" if nodeid.startswith(LONG) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """In place of every one of `--dist`. In the order of the tests: its own would be by their number."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


pytest_plugins = [
    "tests.fix_netns",
    "tests.fix_stack",
    "tests.fix_dns",
    "tests.fix_region",
    "tests.fix_api",
    "tests.fix_deployment",
    "tests.fix_shell",
    "tests.db.fix_scene",
    "tests.imports.fix_imports",
    "tests.host.fix_host",
    "tests.network.fix_guests",
    "tests.network.fix_metadata",
    "tests.network.fix_two_hosts",
    "tests.network.fix_wire",
]
