"""Every route under ``/api/v1``, in the order in which a path is looked for: the first that fits has it.

So what stands deeper comes first: the actions of all servers before ``/servers/{id}``.
"""

from __future__ import annotations

from api.routes import (
    actions,
    certificates,
    datacenters,
    firewalls,
    floating_ips,
    image_uploads,
    images,
    isos,
    load_balancer_actions,
    load_balancer_types,
    load_balancers,
    locations,
    networks,
    placement_groups,
    pricing,
    primary_ips,
    quotas,
    rrset_actions,
    rrsets,
    server_absent,
    server_actions,
    server_insights,
    server_networks,
    server_power,
    server_types,
    servers,
    ssh_keys,
    volumes,
    zone_actions,
    zones,
)
from api.routes.action_lists import action_lists
from infra.db import certificates as certificate_books
from infra.db import firewalls as firewall_books
from infra.db import images as image_books
from infra.db import load_balancers as load_balancer_books
from infra.db import networks as network_books
from infra.db import primary_ips as primary_ip_books
from infra.db import servers as server_books
from infra.db import zones as zone_books

ROUTERS = (
    actions.router,
    action_lists("servers", "server", server_books.get),
    server_actions.router,
    server_power.router,
    server_networks.router,
    server_insights.router,
    server_absent.router,
    servers.router,
    ssh_keys.router,
    placement_groups.router,
    action_lists("primary_ips", "primary_ip", primary_ip_books.KIND.get),
    primary_ips.router,
    action_lists("networks", "network", network_books.KIND.get),
    networks.router,
    action_lists("firewalls", "firewall", firewall_books.KIND.get),
    firewalls.router,
    action_lists("load_balancers", "load_balancer", load_balancer_books.KIND.get),
    load_balancer_actions.router,
    load_balancers.router,
    action_lists("certificates", "certificate", certificate_books.KIND.get),
    certificates.router,
    action_lists("zones", "zone", zone_books.KIND.get, "id_or_name", zones.zone_id),
    zone_actions.router,
    rrset_actions.router,
    rrsets.router,
    zones.router,
    locations.router,
    datacenters.router,
    server_types.router,
    load_balancer_types.router,
    action_lists("images", "image", image_books.get),
    image_uploads.router,
    images.router,
    isos.router,
    pricing.router,
    floating_ips.router,
    volumes.router,
    quotas.router,
)
