"""Load balancers, as hcloud-python has them: their services, their targets, their addresses and their network."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hcloud import APIException
from hcloud.certificates import Certificate
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.load_balancers import (
    BoundLoadBalancer,
    LoadBalancerAlgorithm,
    LoadBalancerHealthCheck,
    LoadBalancerHealthCheckHttp,
    LoadBalancerService,
    LoadBalancerServiceHttp,
    LoadBalancerTarget,
    LoadBalancerTargetIP,
    LoadBalancerTargetLabelSelector,
)
from hcloud.servers import BoundServer, ServerCreatePublicNetwork

from tests.api.balancing import Ground, make_balancer, on
from tests.api.refusals import code_of
from tests.fix_api import Api


async def test_a_load_balancer_has_addresses_of_its_own_until_it_goes(module_api: Api) -> None:
    api = module_api
    await on(api, _a_life)
    resting = await api.region.one(
        "SELECT count(*) AS n FROM addresses a JOIN address_pools p ON p.id = a.pool_id"
        " WHERE p.location_id = %s AND a.load_balancer_id IS NULL AND a.released IS NOT NULL",
        api.region.location_id,
    )
    assert resting is not None
    assert resting["n"] >= 2


def _a_life(on: Ground) -> None:
    balancer = on.balancer("front", labels={"a": "b"})
    four, six = balancer.public_net.ipv4, balancer.public_net.ipv6
    assert balancer.public_net.enabled
    assert (four.ip.count("."), "/" in six.ip, six.ip.endswith("::1")) == (3, False, True)
    assert four.dns_ptr
    assert six.dns_ptr is None
    assert (balancer.location.name, balancer.load_balancer_type.name) == (on.location, "lb11")
    assert balancer.algorithm.type == "round_robin"
    assert (balancer.services, balancer.targets, balancer.private_net) == ([], [], [])
    assert [one.id for one in on.hcloud.load_balancers.get_all(label_selector="a=b")] == [balancer.id]
    assert on.hcloud.load_balancers.get_by_name("front").id == balancer.id
    assert code_of(lambda: on.balancer("front")) == "uniqueness_error"

    for ip, back in ((four.ip, four.dns_ptr), (six.ip, None)):
        balancer.change_dns_ptr(ip, "lb.example.com").wait_until_finished()
        assert "lb.example.com" in _names(on.seen(balancer))
        balancer.change_dns_ptr(ip, None).wait_until_finished()
        assert back in _names(on.seen(balancer))
        assert "lb.example.com" not in _names(on.seen(balancer))
    assert code_of(lambda: balancer.change_dns_ptr("192.0.2.1", "x.example.com")) == "invalid_input"

    balancer.change_algorithm(LoadBalancerAlgorithm(type="least_connections")).wait_until_finished()
    balancer.change_protection(delete=True).wait_until_finished()
    assert on.seen(balancer).algorithm.type == "least_connections"
    assert code_of(balancer.delete) == "protected"
    balancer.change_protection(delete=False).wait_until_finished()
    renamed = balancer.update(name="back", labels={})
    assert (renamed.name, renamed.labels) == ("back", {})
    now = datetime.now(UTC)
    assert code_of(lambda: balancer.get_metrics("bandwidth", start=now, end=now)) == "unsupported_error"

    deleted = balancer.delete()
    deleted.action.wait_until_finished()
    assert code_of(lambda: on.seen(balancer)) == "not_found"
    assert on.hcloud.actions.get_by_id(deleted.action.id).command == "delete_load_balancer"
    commands = {action.command for action in on.hcloud.load_balancers.actions.get_all()}
    assert {"create_load_balancer", "change_algorithm", "change_protection", "change_dns_ptr"} <= commands


def _names(balancer: BoundLoadBalancer) -> list[str | None]:
    return [balancer.public_net.ipv4.dns_ptr, balancer.public_net.ipv6.dns_ptr]


async def test_services_come_change_and_go(module_api: Api) -> None:
    await on(module_api, _services)


def _services(on: Ground) -> None:
    balancer = on.balancer("services", services=[LoadBalancerService(protocol="http")])
    (web,) = balancer.services
    assert (web.listen_port, web.destination_port, web.proxyprotocol) == (80, 80, False)
    assert (web.http.cookie_name, web.http.cookie_lifetime, web.http.timeout_idle) == ("HCLBSTICKY", 300, 50)
    assert (web.http.certificates, web.http.redirect_http, web.http.sticky_sessions) == ([], False, False)
    assert (web.health_check.protocol, web.health_check.port, web.health_check.interval) == ("http", 80, 15)
    assert (web.health_check.http.path, web.health_check.http.status_codes) == ("/", ["2??", "3??"])

    tcp = LoadBalancerService(
        protocol="tcp",
        listen_port=70,
        destination_port=71,
        proxyprotocol=True,
        health_check=LoadBalancerHealthCheck(port=72),
    )
    balancer.add_service(tcp).wait_until_finished()
    seen = on.seen(balancer).services[0]
    assert (seen.listen_port, seen.destination_port, seen.proxyprotocol, seen.http) == (70, 71, True, None)
    assert (seen.health_check.protocol, seen.health_check.port, seen.health_check.http) == ("tcp", 72, None)
    assert code_of(lambda: balancer.add_service(tcp)) == "source_port_already_used"

    checked = LoadBalancerHealthCheck(retries=5, http=LoadBalancerHealthCheckHttp(path="/up", domain="example.com"))
    sticky = LoadBalancerServiceHttp(sticky_sessions=True, cookie_lifetime=800)
    change = LoadBalancerService(listen_port=80, http=sticky, health_check=checked)
    balancer.update_service(change).wait_until_finished()
    seen = on.seen(balancer).services[1]
    assert (seen.http.sticky_sessions, seen.http.cookie_lifetime, seen.http.timeout_idle) == (True, 800, 50)
    assert (seen.health_check.retries, seen.health_check.interval, seen.health_check.http.path) == (5, 15, "/up")
    assert (seen.health_check.http.domain, seen.health_check.http.response) == ("example.com", None)
    balancer.update_service(LoadBalancerService(listen_port=80, protocol="tcp")).wait_until_finished()
    assert on.seen(balancer).services[1].http is None
    assert code_of(lambda: balancer.update_service(LoadBalancerService(listen_port=81))) == "not_found"

    certificate = LoadBalancerServiceHttp(certificates=[Certificate(id=7)])
    for http in (None, certificate):
        wrong = LoadBalancerService(protocol="https", http=http)
        with pytest.raises(APIException) as refused:
            balancer.add_service(wrong)
        assert [one["name"] for one in refused.value.details["fields"]] == ["http.certificates"]

    for port in (1, 2, 3):
        balancer.add_service(LoadBalancerService(protocol="tcp", listen_port=port)).wait_until_finished()
    full = LoadBalancerService(protocol="tcp", listen_port=4)
    assert code_of(lambda: balancer.add_service(full)) == "resource_limit_exceeded"
    balancer.change_type(LoadBalancerType(name="lb21")).wait_until_finished()
    balancer.add_service(full).wait_until_finished()
    assert code_of(lambda: balancer.change_type(LoadBalancerType(name="lb11"))) == "invalid_load_balancer_type"
    balancer.delete_service(full).wait_until_finished()
    assert code_of(lambda: balancer.delete_service(full)) == "not_found"
    balancer.change_type(LoadBalancerType(name="lb11")).wait_until_finished()
    balancer.change_type(LoadBalancerType(name="lb11")).wait_until_finished()
    assert on.seen(balancer).load_balancer_type.name == "lb11"
    on.gone(balancer)


async def test_targets_are_servers_labels_and_addresses(module_api: Api) -> None:
    await on(module_api, _public_targets)


def _public_targets(on: Ground) -> None:
    server = on.server("target", labels={"role": "web"})
    hidden = on.server("hidden", ServerCreatePublicNetwork(enable_ipv4=False, enable_ipv6=False))
    balancer = on.balancer("public", services=[LoadBalancerService(protocol="http")])
    direct = LoadBalancerTarget(type="server", server=server)
    labelled = LoadBalancerTarget(
        type="label_selector", label_selector=LoadBalancerTargetLabelSelector(selector="role in (web, app)")
    )
    address = LoadBalancerTarget(type="ip", ip=LoadBalancerTargetIP(ip=server.public_net.ipv4.ip))

    for target in (direct, labelled, address):
        balancer.add_target(target).wait_until_finished()
        assert code_of(lambda target=target: balancer.add_target(target)) == "target_already_defined"
    one, all_web, ip = on.seen(balancer).targets
    assert (one.type, one.server.id, one.use_private_ip) == ("server", server.id, False)
    assert [(status.listen_port, status.status) for status in one.health_status] == [(80, "unknown")]
    assert [(inner.server.id, inner.health_status[0].status) for inner in all_web.targets] == [(server.id, "unknown")]
    assert (ip.type, ip.ip.ip) == ("ip", server.public_net.ipv4.ip)
    server.update(labels={})
    assert on.seen(balancer).targets[1].targets == []
    hidden.update(labels={"role": "app"})
    assert [inner.server.id for inner in on.seen(balancer).targets[1].targets] == [hidden.id]

    no_way = LoadBalancerTarget(type="server", server=hidden)
    assert code_of(lambda: balancer.add_target(no_way)) == "resolve_cloud_public_targets_error"
    foreign = LoadBalancerTarget(type="ip", ip=LoadBalancerTargetIP(ip="192.0.2.77"))
    assert code_of(lambda: balancer.add_target(foreign)) == "ip_not_owned"
    no_server = LoadBalancerTarget(type="server", server=BoundServer(on.hcloud.servers, {"id": 2**50}, complete=False))
    assert code_of(lambda: balancer.add_target(no_server)) == "invalid_input"

    mine = server.public_net
    assert code_of(lambda: on.hcloud.primary_ips.unassign(mine.primary_ipv4)) == "server_is_load_balancer_target"
    on.hcloud.primary_ips.unassign(mine.primary_ipv6).wait_until_finished()
    balancer.remove_target(labelled).wait_until_finished()
    assert code_of(lambda: balancer.remove_target(labelled)) == "load_balancer_target_not_found"
    server.delete().wait_until_finished()
    assert on.seen(balancer).targets == []  # the address went with the server, too
    on.gone(balancer, hidden, on.hcloud.primary_ips.get_by_id(mine.primary_ipv6.id))


async def test_servers_tell_which_load_balancers_send_to_them(module_api: Api) -> None:
    await on(module_api, _told_by_servers)


def _told_by_servers(on: Ground) -> None:
    server = on.server("told", labels={"tier": "1"})
    other = on.server("untold")
    first, second, third = (on.balancer(f"telling-{n}") for n in range(3))
    first.add_target(LoadBalancerTarget(type="server", server=server)).wait_until_finished()
    for balancer, selector in ((first, "tier"), (second, "tier=1"), (third, "tier=2")):
        by_labels = LoadBalancerTargetLabelSelector(selector=selector)
        target = LoadBalancerTarget(type="label_selector", label_selector=by_labels)
        balancer.add_target(target).wait_until_finished()

    told = {one["id"]: one["load_balancers"] for one in on.told("/servers")["servers"]}
    assert (told[server.id], told[other.id]) == ([first.id, second.id], [])
    on.gone(first, second, third, server, other)


async def test_a_load_balancer_in_a_network_needs_no_public_interface(module_api: Api) -> None:
    await on(module_api, _private)


def _private(on: Ground) -> None:
    network, elsewhere = on.network("lb-net", 77), on.network("lb-other-net", 78)
    inside, outside = on.server("inside", networks=[network]), on.server("outside")
    balancer = on.balancer("private")
    private = LoadBalancerTarget(type="server", server=inside, use_private_ip=True)
    assert code_of(lambda: balancer.add_target(private)) == "load_balancer_not_attached_to_network"
    assert code_of(balancer.disable_public_interface) == "load_balancer_not_attached_to_network"
    assert code_of(lambda: balancer.detach_from_network(network)) == "load_balancer_not_attached_to_network"
    assert code_of(lambda: balancer.attach_to_network(network, ip="10.77.9.9")) == "invalid_input"

    balancer.attach_to_network(network, ip="10.77.1.99").wait_until_finished()
    (net,) = on.seen(balancer).private_net
    assert (net.network.id, net.ip) == (network.id, "10.77.1.99")
    assert on.told(f"/networks/{network.id}")["network"]["load_balancers"] == [balancer.id]
    assert code_of(lambda: balancer.attach_to_network(network)) == "load_balancer_already_attached"
    assert code_of(lambda: balancer.attach_to_network(elsewhere)) == "load_balancer_already_attached"

    lost = LoadBalancerTarget(type="server", server=outside, use_private_ip=True)
    public = LoadBalancerTarget(type="server", server=outside)
    virtual = LoadBalancerTarget(type="ip", ip=LoadBalancerTargetIP(ip="10.77.1.50"))
    stranger = LoadBalancerTarget(type="ip", ip=LoadBalancerTargetIP(ip="10.78.1.50"))
    assert code_of(lambda: balancer.add_target(lost)) == "resolve_cloud_private_targets_error"
    assert code_of(lambda: balancer.add_target(stranger)) == "ip_not_owned"
    for target in (private, virtual, public):
        balancer.add_target(target).wait_until_finished()
    assert code_of(balancer.disable_public_interface) == "targets_without_use_private_ip"
    balancer.remove_target(public).wait_until_finished()
    balancer.disable_public_interface().wait_until_finished()
    balancer.disable_public_interface().wait_until_finished()
    off = on.seen(balancer).public_net
    assert (off.enabled, off.ipv4.ip) == (False, balancer.public_net.ipv4.ip)
    assert code_of(lambda: balancer.add_target(public)) == "load_balancer_public_interface_disabled"
    balancer.enable_public_interface().wait_until_finished()
    balancer.enable_public_interface().wait_until_finished()
    assert [target.use_private_ip for target in on.seen(balancer).targets] == [True, None]

    balancer.detach_from_network(network).wait_until_finished()
    assert (on.seen(balancer).private_net, on.seen(balancer).targets) == ([], [])
    balancer.attach_to_network(network, ip_range="10.77.1.0/24").wait_until_finished()
    balancer.add_target(private).wait_until_finished()
    on.gone(network)
    assert (on.seen(balancer).private_net, on.seen(balancer).targets) == ([], [])
    on.gone(balancer, inside, outside, elsewhere)


async def test_all_of_it_can_be_said_at_the_creation(module_api: Api) -> None:
    await on(module_api, _at_once)


def _at_once(on: Ground) -> None:
    network = on.network("at-once-net", 79)
    server = on.server("at-once", networks=[network])
    balancer = on.balancer(
        "at-once",
        location=None,
        network_zone=on.zone,
        network=network,
        public_interface=False,
        algorithm=LoadBalancerAlgorithm(type="least_connections"),
        services=[LoadBalancerService(protocol="http"), LoadBalancerService(protocol="tcp", listen_port=81)],
        targets=[LoadBalancerTarget(type="server", server=server, use_private_ip=True)],
    )
    assert (balancer.location.name, balancer.public_net.enabled) == (on.location, False)
    assert (balancer.private_net[0].network.id, balancer.algorithm.type) == (network.id, "least_connections")
    assert ([one.listen_port for one in balancer.services], len(balancer.targets)) == ([80, 81], 1)
    assert [status.listen_port for status in balancer.targets[0].health_status] == [80, 81]

    twice = [LoadBalancerService(protocol="http"), LoadBalancerService(protocol="tcp", listen_port=80)]
    assert code_of(lambda: on.balancer("no", services=twice)) == "source_port_already_used"
    target = LoadBalancerTarget(type="server", server=server, use_private_ip=True)
    assert code_of(lambda: on.balancer("no", targets=[target])) == "load_balancer_not_attached_to_network"
    assert code_of(lambda: on.balancer("no", network=network, targets=[target, target])) == "target_already_defined"
    assert on.hcloud.load_balancers.get_by_name("no") is None
    on.gone(balancer, server, network)


async def test_a_target_goes_with_the_address_that_it_is(module_api: Api) -> None:
    api = module_api
    id = await make_balancer(api, "dependent")
    kept = {"name": "kept", "type": "ipv6", "location": api.region.location}
    owned = (await api.http.post("/primary_ips", json=kept)).json()["primary_ip"]
    inside = owned["ip"].replace("::/64", "::7")
    body = {"type": "ip", "ip": {"ip": inside}}

    added = await api.http.post(f"/load_balancers/{id}/actions/add_target", json=body)
    targets = (await api.http.get(f"/load_balancers/{id}")).json()["load_balancer"]["targets"]
    deleted = await api.http.delete(f"/primary_ips/{owned['id']}")

    assert (added.status_code, deleted.status_code) == (201, 204)
    assert [(target["type"], target["ip"], target["use_private_ip"]) for target in targets] == [
        ("ip", {"ip": inside}, False)
    ]
    assert (await api.http.get(f"/load_balancers/{id}")).json()["load_balancer"]["targets"] == []
