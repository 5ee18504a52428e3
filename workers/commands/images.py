"""`puchify image build`: from packages to an image that servers can be made of."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from workers.commands import image_cache

Guest = Literal["tiny", "debian-12", "debian-13"]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Images: what servers are made of.", no_args_is_help=True)
    group.callback()(_group)
    group.command("build")(build)
    group.command("cache")(image_cache.cache)
    app.add_typer(group, name="image")


def _group() -> None:
    return None


def build(
    name: Annotated[Guest, typer.Argument(help="tiny: boots in seconds; debian-...: a real one.")],
) -> None:
    """Build a guest image and offer it.

    From Debian's packages, in seconds (tiny) or a minute (debian); it is kept, so the next time is instant. The
    same packages give the same image, byte by byte; they are the newest of their release.
    """
    from infra.config import settings
    from infra.db.built_images import register_image
    from workers.commands.books import in_books
    from workers.local.images import build_into_store
    from workers.local.place import of_instance

    image = build_into_store(name, of_instance(settings()), typer.echo)
    image_id = in_books(lambda connection: register_image(connection, image))
    typer.echo(f"image {name} is offered with id {image_id}")
