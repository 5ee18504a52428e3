"""What an order chooses: its references found, its choices checked against each other, every problem told at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from api.references import chosen
from api.schemas.servers import CreateServer
from infra.db import default_networks, firewalls, images, networks, placement_groups, primary_ips, ssh_keys
from infra.db.images import CatalogueImage, ImageFilter
from infra.db.keys import Caller
from infra.db.listing import Window
from infra.db.locations import Location, locations, preferred
from infra.db.orders import NewServer
from infra.db.pool import Connection
from infra.db.server_types import ServerType, server_types
from infra.domain.errors import InvalidInput, NotFound, Problems, ResourceUnavailable
from infra.domain.names import as_id
from infra.domain.terms import Terms


class Sited(Protocol):
    """What says where it is to be."""

    @property
    def location(self) -> int | str | None: ...
    @property
    def datacenter(self) -> int | str | None: ...


class Termed(Protocol):
    """What can be ordered on terms: a type of servers or of load balancers."""

    @property
    def name(self) -> str: ...
    @property
    def terms(self) -> Terms: ...


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is to choose from."""

    server_types: list[ServerType]
    locations: list[Location]
    default_location: str


async def offer_of(connection: Connection, default_location: str) -> Offer:
    return Offer(await server_types(connection), await locations(connection), default_location)


async def new_server(connection: Connection, caller: Caller, body: CreateServer, default_location: str) -> NewServer:
    """InvalidInput names each field that is wrong. ResourceUnavailable: no host of the location takes such a server."""
    offer = await offer_of(connection, default_location)
    problems: Problems = []
    server_type = chosen(body.server_type, offer.server_types)
    if server_type is None:
        problems.append(("server_type", f"server type {body.server_type!r} does not exist"))
    image = await _image(connection, caller.project_id, body.image, server_type)
    problems += image_problems(body.image, image, server_type)
    location = choose_location(body, offer, problems)
    problems += term_problems("server_type", server_type, location, datetime.now(UTC))
    default_network = body.networks is None and await default_networks.is_wanted(connection, caller.project_id)
    problems += _net_problems(body, default_network)
    problems += await _ip_problems(connection, caller.project_id, body)
    problems += await _network_problems(connection, caller.project_id, body)
    problems += await _firewall_problems(connection, caller.project_id, body)
    problems += await _group_problems(connection, caller.project_id, body)
    lines, missing = await _keys(connection, caller.project_id, body)
    problems += [("ssh_keys", f"SSH key {key!r} does not exist") for key in missing]
    if problems or not (server_type and image and location):
        raise InvalidInput.fields(problems)
    if server_type.architecture not in location.architectures:
        raise ResourceUnavailable(
            f"location {location.name!r} has no host that takes {server_type.architecture} servers"
        )
    return replace(_new(caller, body, server_type, image, location, lines), default_network=default_network)


def term_problems(field: str, type: Termed | None, location: Location | None, now: datetime) -> Problems:
    """A type may be offered at some locations only, and no longer. ``field``: which kind of type it is."""
    if type is None or location is None or type.terms.orderable_at(location.id, now):
        return []
    called = f"{field.replace('_', ' ')} {type.name!r}"
    ending = type.terms.deprecation_at(location.id)
    if not type.terms.offered_at(location.id) or ending is None:
        return [("location", f"{called} is not offered in location {location.name!r}")]
    return [(field, f"{called} can no longer be ordered, since {ending.unavailable_after:%Y-%m-%d}")]


async def _image(
    connection: Connection, project_id: int, asked: int | str, server_type: ServerType | None
) -> CatalogueImage | None:
    """The one that fits the type, or else any (to say what is wrong). A name stands once for each architecture; where a
    system image got the name of one that a project has, it goes before."""
    if isinstance(asked, str) and "\0" not in asked:
        wanted = ImageFilter(project_id, name=asked, include_deprecated=True)
        found = await images.find_all(connection, wanted, Window(per_page=10))
        fitting = [one for one in found.items if server_type and one.architecture == server_type.architecture]
        if found.items:
            return min(fitting or found.items, key=lambda one: one.project_id is not None)
    if (id := as_id(asked)) is not None:
        with suppress(NotFound):
            return await images.get(connection, project_id, id)
    return None


def image_problems(asked: int | str, image: CatalogueImage | None, server_type: ServerType | None) -> Problems:
    if image is None:
        return [("image", f"image {asked!r} does not exist")]
    if image.status != "available":
        return [("image", f"image {asked!r} is not available: it is {image.status}")]
    if image.unavailable_after and image.unavailable_after <= datetime.now(UTC):
        return [("image", f"image {asked!r} can no longer be ordered, since {image.unavailable_after:%Y-%m-%d}")]
    if server_type is None:
        return []
    if image.architecture != server_type.architecture:
        return [
            ("image", f"image {asked!r} is for {image.architecture}, the server type is {server_type.architecture}")
        ]
    if image.disk_gib > server_type.disk_gib:
        wants = f"needs a disk of {image.disk_gib} GB, server type {server_type.name!r} has {server_type.disk_gib} GB"
        return [("image", f"image {asked!r} {wants}")]
    return []


def choose_location(body: Sited, offer: Offer, problems: Problems) -> Location | None:
    """The one that is asked for, else the installation's own, else the first with hosts."""
    if body.location is not None and body.datacenter is not None:
        problems.append(("datacenter", "cannot be given together with location"))
        return None
    if body.location is not None:
        field, asked, found = "location", body.location, chosen(body.location, offer.locations)
    elif body.datacenter is not None:
        field, asked, found = "datacenter", body.datacenter, _of_datacenter(body.datacenter, offer.locations)
    else:
        field, asked, found = "location", offer.default_location, preferred(offer.locations, offer.default_location)
    if found is None:
        problems.append((field, f"{field} {asked!r} does not exist"))
    return found


def _of_datacenter(asked: int | str, offered: Sequence[Location]) -> Location | None:
    """Older clients name a datacenter: one of ours, or ``<location>-dc<n>`` with any number."""
    for one in offered:
        if chosen(asked, one.datacenters):
            return one
    return chosen(str(asked).rpartition("-dc")[0], offered)


def _net_problems(body: CreateServer, default_network: bool) -> Problems:
    has_any = body.public_net.enable_ipv4 or body.public_net.enable_ipv6 or body.networks or default_network
    if body.start_after_create and not has_any:
        return [("public_net", "a server without any address cannot be started: set start_after_create to false")]
    return []


async def _ip_problems(connection: Connection, project_id: int, body: CreateServer) -> Problems:
    """Of primary IPs by id; whether they are free is found out when they are taken."""
    net = body.public_net
    asked = {"public_net.ipv4": (net.enable_ipv4, net.ipv4), "public_net.ipv6": (net.enable_ipv6, net.ipv6)}
    problems = [
        (field, "cannot be given when the address is switched off")
        for field, (on, id) in asked.items()
        if id and not on
    ]
    ids = {field: id for field, (_, id) in asked.items() if id}
    missing = await primary_ips.KIND.missing(connection, project_id, list(ids.values()))
    return problems + [(field, f"primary IP {id} does not exist") for field, id in ids.items() if id in missing]


async def _network_problems(connection: Connection, project_id: int, body: CreateServer) -> Problems:
    """Whether a network has a subnet there, and an address free, is found out when the server joins it."""
    missing = await networks.KIND.missing(connection, project_id, body.networks or ())
    return [("networks", f"network {id} does not exist") for id in missing]


async def _firewall_problems(connection: Connection, project_id: int, body: CreateServer) -> Problems:
    missing = await firewalls.KIND.missing(connection, project_id, [one.firewall for one in body.firewalls])
    problems = [("firewalls", f"firewall {id} does not exist") for id in missing]
    if body.firewalls and not (body.public_net.enable_ipv4 or body.public_net.enable_ipv6):
        problems.append(("firewalls", "a server without a public address takes no firewalls"))
    return problems


async def _group_problems(connection: Connection, project_id: int, body: CreateServer) -> Problems:
    """Whether there is a place in it is found out when the server comes into it."""
    asked = [body.placement_group] if body.placement_group else []
    missing = await placement_groups.KIND.missing(connection, project_id, asked)
    return [("placement_group", f"placement group {id} does not exist") for id in missing]


async def _keys(connection: Connection, project_id: int, body: CreateServer) -> tuple[list[str], list[str]]:
    """Guests take no passwords, so a server that is ordered without keys or user data gets those of its project."""
    if body.ssh_keys:
        return await ssh_keys.lines_of(connection, project_id, body.ssh_keys)
    if body.user_data:
        return [], []
    return await ssh_keys.all_lines(connection, project_id), []


def _new(
    caller: Caller,
    body: CreateServer,
    server_type: ServerType,
    image: CatalogueImage,
    location: Location,
    lines: list[str],
) -> NewServer:
    return NewServer(
        project_id=caller.project_id,
        user_id=caller.user_id,
        name=body.name,
        server_type_id=server_type.id,
        location_id=location.id,
        image_id=image.id,
        authorized_keys=tuple(lines),
        user_data=body.user_data,
        labels=dict(body.labels),
        want_ipv4=body.public_net.enable_ipv4,
        want_ipv6=body.public_net.enable_ipv6,
        start=body.start_after_create,
        primary_ipv4=body.public_net.ipv4,
        primary_ipv6=body.public_net.ipv6,
        networks=tuple(sorted(set(body.networks or ()))),  # locked in one order, whoever asks
        network_zone=location.network_zone,
        firewalls=tuple(sorted({one.firewall for one in body.firewalls})),
        placement_group=body.placement_group,
    )
