"""The values that travel: one frozen value into each step and one out, so that fields can be added under way.

Units: memory in MiB, disks in GiB, addresses as text in canonical form. Nothing secret is in here: user data, keys
and passwords stay in the books and reach a host through the internal endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args
from uuid import NAMESPACE_OID, UUID, uuid5

MACHINES = uuid5(NAMESPACE_OID, "machines.puchify.org")


def server_mac(server_id: int) -> str:
    """Of the public port: locally administered, of the server's id, so that it is the same on every host."""
    return "02:" + ":".join(f"{byte:02x}" for byte in server_id.to_bytes(5, "big"))


@dataclass(frozen=True, slots=True)
class Image:
    """What a disk is cloned from. ``digest`` is the sha256 of the raw disk and the name it has on every host."""

    id: int
    name: str
    digest: str
    architecture: str
    disk_gib: int
    """The smallest disk it fits on."""
    has_agent: bool


@dataclass(frozen=True, slots=True)
class Resources:
    """What a server takes of its host and of its owner's quota."""

    cores: int
    memory_mib: int
    disk_gib: int


@dataclass(frozen=True, slots=True)
class ServerOrder:
    """An accepted order: the ids are made, nothing else is. The owner's secrets stay in the books."""

    server_id: int
    action_id: int
    start_action_id: int | None
    project_id: int
    user_id: int
    name: str
    location: str
    resources: Resources
    image: Image
    want_ipv4: bool = True
    want_ipv6: bool = True
    start: bool = True


@dataclass(frozen=True, slots=True)
class Addresses:
    """A server's public addresses: one IPv4 and one /64 of which the server takes ``::1``; None where not ordered.
    ``members``: its memberships in networks, by id; each is a further port."""

    ipv4: str | None
    ipv6_network: str | None
    members: tuple[int, ...] = ()

    @property
    def ipv6(self) -> str | None:
        return self.ipv6_network.replace("::/64", "::1") if self.ipv6_network else None

    @property
    def all(self) -> list[str]:
        return [address for address in (self.ipv4, self.ipv6) if address]


@dataclass(frozen=True, slots=True)
class Claim:
    """A server's hold on a host. Each new claim raises the server's epoch; a host obeys only its highest."""

    server_id: int
    host_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """What to place, and where not to. ``epoch`` is the claim's, made before it: a claim, or its release, that comes
    late cannot touch another one."""

    order: ServerOrder
    excluded_hosts: tuple[int, ...] = ()
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class Machine:
    """All that a host needs to know of one server: what each of the host's steps converges on."""

    server_id: int
    epoch: int
    host_id: int
    name: str
    resources: Resources
    image: Image
    addresses: Addresses

    @classmethod
    def of(cls, order: ServerOrder, claim: Claim, addresses: Addresses) -> Machine:
        return cls(order.server_id, claim.epoch, claim.host_id, order.name, order.resources, order.image, addresses)

    @property
    def members(self) -> tuple[int, ...]:
        """Its memberships in networks, each a further NIC."""
        return self.addresses.members

    def with_members(self, members: tuple[int, ...]) -> Machine:
        return replace(self, addresses=replace(self.addresses, members=members))

    @property
    def mac(self) -> str:
        return server_mac(self.server_id)

    @property
    def uuid(self) -> UUID:
        return uuid5(MACHINES, str(self.server_id))

    @property
    def instance_id(self) -> str:
        """cloud-init's instance-id: first-boot work is done once per value, so it does not change with the host."""
        return f"i-{self.server_id}"


@dataclass(frozen=True, slots=True)
class Readiness:
    """What the health step saw. ``host_key`` is one OpenSSH public key line, without a comment."""

    host_key: str
    agent: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an operation ended: a wire code and a message fit for the user."""

    code: str
    message: str
    status: int = 500
    details: dict[str, Any] | None = None


DELETED = Failure("server_deleted", "the server was deleted meanwhile", 409)
"""How ends what is under way on a server that is deleted: its create, or a change."""
LATE = Failure("timeout", "the server was not ready in time", 504)
"""How a create ends at its deadline."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to an order: granted with addresses, or refused with the reason."""

    addresses: Addresses | None = None
    refused: Failure | None = None


@dataclass(frozen=True, slots=True)
class FailedOrder:
    order: ServerOrder
    failure: Failure


@dataclass(frozen=True, slots=True)
class FinishedOrder:
    order: ServerOrder
    claim: Claim
    readiness: Readiness | None
    """None when the owner asked for a server that is not started."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A host that must forget a server when it can be reached again: everything up to and including ``epoch``."""

    server_id: int
    host_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class HostQuestion:
    """Which host is asked for a sign of life. ``enough``: it gave some, and did nothing; it counts as silent."""

    host_id: int
    enough: bool = False


@dataclass(frozen=True, slots=True)
class Confirmed:
    """One claim on a host. ``runs``: its create is done, and it was not stopped since. ``rests``: it was stopped.
    ``status``: what the books take it for; None while anything works on it."""

    machine: Machine
    runs: bool
    rests: bool = False
    status: Literal["running", "off", "unknown"] | None = None


@dataclass(frozen=True, slots=True)
class HostClaims:
    """What a host should hold, and what it has to forget."""

    claims: list[Confirmed]
    tombstones: list[Tombstone]


@dataclass(frozen=True, slots=True)
class DeleteOrder:
    server_id: int
    action_id: int
    project_id: int
    location: str


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a server holds, as the books have it: what a delete has to give back."""

    order: ServerOrder
    machine: Machine | None
    """None while no host is claimed."""


Part = Literal["machine", "disk", "seed", "port"]
"""What a host holds of a server, each at most once."""
PARTS: tuple[Part, ...] = get_args(Part)


MachineState = Literal["running", "paused", "off", "crashed"]
"""crashed: it ended, and neither its guest nor anybody else wanted it to."""


@dataclass(frozen=True, slots=True)
class Link:
    """An uplink. ``speed_mbit`` None: nobody knows, so nobody knows the shares of it that came in and went out."""

    speed_mbit: int | None
    received: float | None = None
    sent: float | None = None


@dataclass(frozen=True, slots=True)
class Turned:
    """A machine that is not what the books say. It counts only while the server's epoch is still this one."""

    state: MachineState
    epoch: int


@dataclass(frozen=True, slots=True)
class HostReport:
    """A host's own account of itself, every 30 s and whenever a server comes or goes.

    ``memory_mib`` and ``disk_gib`` are what it offers, ``free_...`` how much of that is really free (None: it does not
    say), the loads are shares of the last half minute. ``facts``: what it is made of, by name. ``images``: digests in
    its cache. By server: ``holds`` is what is here, ``states`` what its machine is, ``heard`` how many seconds ago its
    agent spoke; None: the host does not say. ``turned``: machines that the books have to be put right about.
    ``problems``: what of it does not work, in words; then it is given no server. ``hindrances``: what does not work
    that most servers can do without; it is told, and servers come.
    """

    host_id: int
    cores: int
    memory_mib: int
    disk_gib: int
    free_memory_mib: int | None = None
    free_disk_gib: int | None = None
    cpu_busy: float = 0.0
    io_wait: float = 0.0
    net_saturation: float = 0.0
    driver: str = "libvirt"
    facts: dict[str, Any] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    links: dict[str, Link] = field(default_factory=dict)
    holds: dict[int, list[Part]] | None = None
    states: dict[int, MachineState] | None = None
    heard: dict[int, float] | None = None
    turned: dict[int, Turned] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    hindrances: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """Whose books and hosts to look at, and within how many seconds an order is at its end, whatever that is."""

    location: str
    create_within: float
    delete_within: float


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit came to, by kind of finding; zeros are left out."""

    leaks: dict[str, int]
    pending: dict[str, int]
    healed: dict[str, int]


@dataclass(frozen=True, slots=True)
class ImagesChecked:
    """The digests of the stored images that were read back, and what came of it."""

    good: list[str]
    bad: list[str]


@dataclass(frozen=True, slots=True)
class StoreSwept:
    """How much of the image store nobody needed any more: images, uploads, files of killed writers."""

    images: int
    uploads: int
    unfinished: int
