"""Good images, made once; everything bad is made of them."""

from __future__ import annotations

import pytest

from tests.images.good import Good, make_good


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    return make_good(tmp_path_factory.mktemp("images"))
