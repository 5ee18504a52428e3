"""`puchify`: one command for everything, from the whole cloud on one machine to each role alone.

What can be expected to go wrong ends in one clear line on stderr and exit code 1 (2: it was asked wrongly). A traceback
is a bug of ours.
"""

from __future__ import annotations

import sys

import typer

from workers.commands import (
    audit,
    books,
    capacity,
    catalog,
    deadlines,
    edges,
    explain,
    frr,
    hosts,
    images,
    keys,
    lab,
    machine,
    principals,
    quotas,
    run,
    store,
)

HELP = """Self-hosted server provisioning: one order becomes one running server, or nothing at all.

`puchify up` runs all of it on this machine; the other commands run or feed one part. Every setting is an environment
variable PUCHIFY_<NAME>; infra/config.py lists them with their defaults."""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text: the same on every terminal and in every pipe
)
run.register(app)
books.register(app)
keys.register(app)
principals.register(app)
quotas.register(app)
hosts.register(app)
edges.register(app)
catalog.register(app)
images.register(app)
machine.register(app)
audit.register(app)
deadlines.register(app)
capacity.register(app)
explain.register(app)
store.register(app)
frr.register(app)
lab.register(app)


def main() -> None:
    try:
        app(prog_name="puchify")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from workers.commands.errors import expected

        told = expected(error)
        if told is None:
            raise
        for line in told.lines:
            print(f"puchify: {line}", file=sys.stderr)
        sys.exit(told.code)


if __name__ == "__main__":
    main()
