"""`puchify catalog ...`: what there is to order, as a file that is looked at first and then applied."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from workers.commands.books import in_books

if TYPE_CHECKING:
    from infra.catalog.source import Source
    from infra.db.pool import Connection
    from infra.domain.catalog import Change, Difference, Key, Plan

T = TypeVar("T")

STDIN = "-"
WOULD_CHANGE = 2


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The catalog: what there is to order.", no_args_is_help=True)
    group.command("apply")(apply_file)
    group.command("show")(show)
    app.add_typer(group, name="catalog")


def apply_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="YAML, as `puchify catalog show` has it; - is stdin.")],
    yes: Annotated[bool, typer.Option("--yes", help="Apply the plan without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; exit 2 if it changes anything.")] = False,
) -> None:
    """Make the catalog what a file says.

    The plan is shown first, then applied as a whole or not at all. What the file does not mention stays as it is.
    Nothing is removed: somebody may use it. To retire a type, an image or an ISO, give it a deprecation.
    """
    from infra.catalog.file import read
    from infra.catalog.source import Source
    from infra.db.catalog.applying import apply, plan_of

    source = Source(_text(file), file)
    asked = read(source)
    plan = _fitting(source, lambda connection: plan_of(connection, asked))
    typer.echo("\n".join(lines(plan)))
    if not plan.changes:
        return
    if dry_run:
        raise typer.Exit(WOULD_CHANGE)
    if not yes and not _confirmed():
        raise typer.Exit(1)
    _fitting(source, lambda connection: apply(connection, asked, plan))
    typer.echo("Applied.")


def show() -> None:
    """Print the catalog as a file that can be applied."""
    from infra.catalog.text import document
    from infra.db.catalog.books import present

    typer.echo(document(in_books(present)), nl=False)


def _text(file: str) -> str:
    from infra.domain.errors import InvalidInput

    try:
        return sys.stdin.read() if file == STDIN else Path(file).read_text()
    except UnicodeDecodeError as cause:
        raise InvalidInput(f"{file} is no text: {cause.reason} at byte {cause.start}") from cause
    except OSError as cause:
        raise InvalidInput(f"{file} cannot be read: {cause.strerror}") from cause


def _fitting(source: Source, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Do it in the books; what does not fit them is told with its line."""
    from infra.domain.catalog import Unfit

    try:
        return in_books(work)
    except Unfit as cause:
        raise source.refuse(cause.problems) from cause


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        typer.echo("Nothing was done: say --yes to apply it.")
        return False
    agreed = typer.confirm("Apply this?")
    if not agreed:
        typer.echo("Nothing was done.")
    return agreed


def lines(plan: Plan) -> Iterator[str]:
    """The plan as people read it: what changes, field by field; then what does not."""
    for change in plan.changes:
        yield from _told(change)
    if plan.left_alone:
        yield f"left alone, not in the file: {'; '.join(_grouped(plan.left_alone))}"
    created = sum(change.new for change in plan.changes)
    yield f"{created} to create, {len(plan.changes) - created} to change, {plan.alike} as the file says"


def _told(change: Change) -> Iterator[str]:
    from infra.catalog.text import flow
    from infra.domain.catalog import NOUNS

    yield f"{'create' if change.new else 'change'} {NOUNS[change.section]} {change.name}".rstrip()
    if change.new and change.id is not None:
        yield f"    id: {change.id}"
    for name, before, after in _apart(change.differences):
        yield f"    {name}: {flow(after)}" if change.new else f"    {name}: {flow(before)} -> {flow(after)}"


def _apart(differences: Sequence[Difference]) -> Iterator[tuple[str, Any, Any]]:
    """Field by field, and what is said by location, location by location."""
    for one in differences:
        if isinstance(one.before, dict) or isinstance(one.after, dict):
            before, after = one.before or {}, one.after or {}
            for name in {**before, **after}:
                if before.get(name) != after.get(name):
                    yield f"{one.field}[{name}]", before.get(name), after.get(name)
        else:
            yield one.field, one.before, one.after


def _grouped(keys: Sequence[Key]) -> Iterator[str]:
    from infra.domain.catalog import NOUNS

    for section, group in groupby(keys, lambda key: key[0]):
        names = [name for _, name in group]
        yield f"{NOUNS[section]}{'s' * (len(names) > 1)} {', '.join(names)}"
