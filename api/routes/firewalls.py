"""/firewalls: rules of a project's own, and the servers that they are for, whose hosts enforce them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import ChangeRequest, Changing
from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.actions import ActionsAnswer, ActionWire, action_wire
from api.schemas.firewalls import (
    ApplyToResources,
    CreatedFirewall,
    CreateFirewall,
    FirewallAnswer,
    FirewallsAnswer,
    FirewallWire,
    RemoveFromResources,
    SetRules,
    UpdateFirewall,
    firewall_wire,
)
from api.services import Asking, Use
from infra.db import firewall_targets, firewalls
from infra.db.firewalls import KIND, Firewall, NewFirewall
from infra.db.named import Wanted
from infra.db.pool import Connection
from infra.domain.changes import Resource
from infra.domain.errors import NotFound, QuotaExceeded, UniquenessError
from infra.domain.firewalls import Target, named_twice
from infra.domain.labels import parse_selector
from infra.domain.refusals import (
    FirewallAlreadyApplied,
    FirewallManagedByLabelSelector,
    FirewallResourceNotFound,
    IncompatibleNetworkType,
    PrivateNetOnlyServer,
    ResourceInUse,
    ServerAlreadyAdded,
)

router = APIRouter(tags=["firewalls"])

MOST_TOLD = 50
"""Servers that have an action of their own when rules are set, however many a label selector matches."""


@router.post(
    "/firewalls",
    status_code=201,
    response_model=CreatedFirewall,
    responses=failing(
        UniquenessError, QuotaExceeded, ServerAlreadyAdded, IncompatibleNetworkType, FirewallResourceNotFound
    ),
)
async def create_firewall(changing: Changing, body: CreateFirewall) -> Response:
    """Once a server has a firewall, only what its rules name comes in, beside what the default rules always let in:
    replies, pings and SSH. Everything goes out, unless one of its firewalls has rules for that: then only what they
    name. Rules hold in private networks, too. A server's `public_net.firewalls` tells which are in force."""
    targets = [one.target for one in body.apply_to]

    async def make(connection: Connection) -> dict[str, Any]:
        await KIND.keep_room(connection, changing.project_id, changing.services.settings.firewalls_per_project)
        rules = tuple(one.rule for one in body.rules)
        id = await firewalls.create(connection, NewFirewall(changing.project_id, body.name, rules, dict(body.labels)))
        await _apply_first(connection, changing.project_id, id, targets)
        begun = [await _begin(changing, connection, "set_firewall_rules", id)] if rules else []
        begun += await _begin_apply(changing, connection, id, targets)
        firewall = await KIND.get(connection, changing.project_id, id)
        return {"firewall": (await _shown(connection, changing.project_id, [firewall]))[0], "actions": begun}

    return await changing.once(make, body)


@router.get("/firewalls")
async def list_firewalls(
    use: Use, asking: Asking, page: Page, name: str | None = None, label_selector: str = ""
) -> FirewallsAnswer:
    wanted = Wanted(asking.project_id, name, parse_selector(label_selector))
    async with use.pool.connection() as connection:
        found = await KIND.find_all(connection, wanted, page)
        shown = await _shown(connection, asking.project_id, found.items)
    return {"firewalls": shown, "meta": meta(page, found.total)}


@router.get("/firewalls/{id:one}", responses=failing(NotFound))
async def get_firewall(use: Use, asking: Asking, id: PathId) -> FirewallAnswer:
    async with use.pool.connection() as connection:
        found = await KIND.get(connection, asking.project_id, id)
        return {"firewall": (await _shown(connection, asking.project_id, [found]))[0]}


@router.put("/firewalls/{id:one}", responses=failing(NotFound, UniquenessError))
async def update_firewall(use: Use, asking: Asking, id: PathId, body: UpdateFirewall) -> FirewallAnswer:
    async with use.pool.connection() as connection:
        found = await KIND.update(connection, asking.project_id, id, body.name, body.labels)
        return {"firewall": (await _shown(connection, asking.project_id, [found]))[0]}


@router.delete("/firewalls/{id:one}", status_code=204, responses=failing(NotFound, ResourceInUse))
async def delete_firewall(use: Use, asking: Asking, id: PathId) -> None:
    """Refused while it is applied to a server, or to a label selector, whatever that matches."""
    async with use.pool.connection() as connection:
        await firewalls.delete(connection, asking.project_id, id)


@router.post(
    "/firewalls/{id}/actions/set_rules",
    status_code=201,
    response_model=ActionsAnswer,
    responses=failing(NotFound),
)
async def set_rules(changing: Changing, id: PathId, body: SetRules) -> Response:
    """In place of all that it has, at once and without an interruption of what is under way. One action for
    each server that has the firewall, for as many as 50, and one for the rules and all other servers."""

    async def make(connection: Connection) -> dict[str, Any]:
        rules = [one.rule for one in body.rules]
        firewall = await firewalls.set_rules(connection, changing.project_id, id, rules)
        servers = await _servers_of(connection, changing.project_id, firewall)
        begun = [await _begin(changing, connection, "set_firewall_rules", id)]
        begun += [await _begin(changing, connection, "apply_firewall", id, one) for one in servers[:MOST_TOLD]]
        return {"actions": begun}

    return await changing.once(make, body)


@router.post(
    "/firewalls/{id}/actions/apply_to_resources",
    status_code=201,
    response_model=ActionsAnswer,
    responses=failing(NotFound, QuotaExceeded, FirewallResourceNotFound, FirewallAlreadyApplied, PrivateNetOnlyServer),
)
async def apply_to_resources(changing: Changing, id: PathId, body: ApplyToResources) -> Response:
    """All of them, or none. A server takes five firewalls by its id; those that its labels
    bring come on top. A label selector holds for servers with a public address, from when they have the labels until
    they have them no more."""
    targets = [one.target for one in body.apply_to]

    async def make(connection: Connection) -> dict[str, Any]:
        await firewall_targets.apply(connection, changing.project_id, id, targets)
        return {"actions": await _begin_apply(changing, connection, id, targets)}

    return await changing.once(make, body)


@router.post(
    "/firewalls/{id}/actions/remove_from_resources",
    status_code=201,
    response_model=ActionsAnswer,
    responses=failing(NotFound, FirewallResourceNotFound, FirewallManagedByLabelSelector),
)
async def remove_from_resources(changing: Changing, id: PathId, body: RemoveFromResources) -> Response:
    """All of them, or none. What it was not applied to is fine; a server that has it by its labels alone is not."""
    targets = [one.target for one in body.remove_from]

    async def make(connection: Connection) -> dict[str, Any]:
        await firewall_targets.remove(connection, changing.project_id, id, targets)
        return {
            "actions": [await _begin(changing, connection, "remove_firewall", id, one.server_id) for one in targets]
        }

    return await changing.once(make, body)


async def _apply_first(connection: Connection, project_id: int, id: int, targets: Sequence[Target]) -> None:
    """To what it is made with, where some refusals go by other names."""
    if twice := named_twice(targets):
        raise ServerAlreadyAdded(f"named more than once: {', '.join(map(str, twice))}")
    try:
        await firewall_targets.apply(connection, project_id, id, targets)
    except PrivateNetOnlyServer as refused:
        raise IncompatibleNetworkType(refused.message) from refused


async def _begin_apply(
    changing: ChangeRequest, connection: Connection, id: int, targets: Sequence[Target]
) -> list[ActionWire]:
    """Those for label selectors first: they leave servers to actions of their own that begin after them."""
    in_turn = sorted(targets, key=lambda one: one.server_id is not None)
    return [await _begin(changing, connection, "apply_firewall", id, one.server_id) for one in in_turn]


async def _begin(
    changing: ChangeRequest, connection: Connection, command: str, id: int, server_id: int | None = None
) -> ActionWire:
    about = [Resource("firewall", id), *([Resource("server", server_id)] if server_id is not None else [])]
    return action_wire(await changing.begin(connection, command, *about))


async def _servers_of(connection: Connection, project_id: int, firewall: Firewall) -> list[int]:
    """Those that have it, by their ids or their labels, each once."""
    direct = [target.server_id for target in firewall.targets if target.server_id is not None]
    by_labels = await firewall_targets.matching(connection, project_id, [firewall])
    return list(dict.fromkeys([*direct, *(server for servers in by_labels.values() for server in servers)]))


async def _shown(connection: Connection, project_id: int, items: Sequence[Firewall]) -> list[FirewallWire]:
    matching = await firewall_targets.matching(connection, project_id, items)
    return [firewall_wire(firewall, matching) for firewall in items]
