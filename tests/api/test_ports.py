"""What hosts are told of ports: by the internal endpoints, with their own key, under a claim that stands."""

from __future__ import annotations

from tests.api.test_hosts import asking
from tests.fix_api import Api
from tests.fix_region import host_key


async def test_a_host_reads_the_ports_of_its_servers_and_says_what_guards_them(api: Api) -> None:
    (host_id,) = api.region.hosts
    created = (await api.create("ported", start_after_create=False)).json()
    server = created["server"]["id"]
    await api.succeeded(created["action"]["id"])
    row = await api.region.one("SELECT epoch FROM claims WHERE server_id = %s", server)
    assert row is not None
    async with asking(api, host_key(api.region, host_id)) as http:
        stale = await http.get(f"/ports/{server}", params={"epoch": row["epoch"] + 1})
        lying = await http.put(f"/ports/{server}/firewalls", json={"epoch": row["epoch"], "firewalls": [10**9]})
        late = await http.put(f"/ports/{server}/firewalls", json={"epoch": row["epoch"] + 1, "firewalls": []})
        plan = (await http.get(f"/ports/{server}", params={"epoch": row["epoch"]})).json()

    assert [reply.status_code for reply in (stale, lying, late)] == [404, 409, 404]
    assert plan["public"]["ipv4"] == created["server"]["public_net"]["ipv4"]["ip"]
    assert (plan["server_id"], plan["private"], plan["firewalls"]) == (server, [], [])


async def test_a_host_of_another_key_is_told_nothing(api: Api) -> None:
    async with asking(api, "k" * 64) as http:
        replies = [await http.get("/ports"), await http.get("/ports/1", params={"epoch": 1})]

    assert [reply.status_code for reply in replies] == [401, 401]
