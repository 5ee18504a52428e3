"""The fixtures every suite may ask for, by subject."""

import os

import hypothesis  # its plugin would import it while a failure is reported, too deep for CPython 3.11
import pytest

# What an example takes says nothing on a machine that is busy.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Before anything reads the settings: hosts that are gone are given up in two seconds instead of ten.
os.environ.setdefault("PUCHIFY_TIMEOUT_FACTOR", "0.2")
# Compressed as well, and still enough for a Debian that boots emulated on a busy machine.
os.environ.setdefault("PUCHIFY_GUEST_PATIENCE", "2000")


LONG = ("tests/lab", "tests/region", "tests/faults")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a lab is one process's work; otherwise a file is. What takes long begins first, so that no process
    is left alone with it in the end."""
    for item in items:
        lab = item.nodeid.startswith(LONG[:2])
        item.add_marker(pytest.mark.xdist_group("lab" if lab else item.nodeid.partition("::")[0]))
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


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
