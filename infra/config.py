"""Every setting of Puchify, once: its name, type, default and reason. Read from the environment as ``PUCHIFY_<NAME>``.

Everything missing or malformed is reported together when a process starts. The defaults run everything on one machine.
"""

from __future__ import annotations

import re
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _origin(value: str) -> str:
    """As a browser names it: a slash at its end would match nothing, ever."""
    if value != "*" and not re.fullmatch(r"https?://[^/\s*]+", value):
        raise ValueError('an origin is "https://console.example.com", without a path, or "*"')
    return value


def _address(value: str) -> str:
    return str(ip_address(value)) if value else ""


def _network(value: str) -> str:
    return str(ip_network(value))


CheckedAddress = Annotated[str, AfterValidator(_address)]
CheckedNetwork = Annotated[str, AfterValidator(_network)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)]
Origin = Annotated[str, AfterValidator(_origin)]


class Settings(BaseSettings):
    """``puchify`` reads it once per process. A path is absolute or relative to the working directory."""

    model_config = SettingsConfigDict(env_prefix="PUCHIFY_", extra="ignore")

    state: Path = Field(Path(".puchify"), description="Everything that survives a restart of `puchify up`.")
    host: Literal["auto", "libvirt", "simulated"] = Field(
        "auto", description="What the host worker drives; auto: libvirt where it is installed."
    )
    location: str = Field("local", description="The location that `puchify up` and the workers serve.")
    log_level: LogLevel = Field("INFO", description="From where on lines are logged; DEBUG: every request too.")

    # Where the engines are
    database_url: str = Field(
        "postgresql:///puchify", description="The books. `puchify up` sets it to its own cluster's socket."
    )
    database_pool: int = Field(20, description="Connections a process keeps at most; 3 processes share 300.")
    temporal_address: str = Field("127.0.0.1:7233", description="Temporal's frontend.")
    temporal_namespace: str = Field("puchify", description="Made by `puchify up` when missing.")
    worker_pulse: float = Field(
        2, ge=1, le=10, description="Seconds between two signs of life of a worker; a host that misses two is left."
    )
    build_id: str = Field(
        "",
        description="The region worker's version: set, what is under way ends on the version that it began with, and "
        "new orders go to the newest. Empty: no versions, one code base at a time.",
    )
    temporal_ui: str = Field("http://127.0.0.1:8233", description="Where operators watch; for the links we print.")

    # The API
    api_address: str = Field(
        "127.0.0.1", description="Where the API listens. Other machines reach it only with TLS, or through a proxy."
    )
    api_port: int = Field(8080, description="The API's port.")
    api_secret: str = Field(
        "", description="Keys are stored as HMAC-SHA256 under it. Empty: a file in `state`, made once."
    )
    api_tls_cert: Path | None = Field(
        None, description="A certificate with its chain (PEM): with its key the API speaks HTTPS and nothing else."
    )
    api_tls_key: Path | None = Field(None, description="The certificate's private key (PEM), without a passphrase.")
    behind_proxy: bool = Field(
        False, description="A proxy that speaks TLS stands before the API: it may listen in the clear for others."
    )
    cors_origins: list[Origin] = Field(
        [], description='Web pages whose scripts may call the API: "https://console.example.com", or "*" (JSON list).'
    )
    rate_limit: float = Field(
        100, ge=0, description="Requests a second and user; twice that may come at once. 0 turns it off."
    )
    body_limit: int = Field(1 << 20, description="Bytes of a request body; more is refused before it is read.")

    # The host worker
    host_id: int = Field(1, description="This host's id in the books.")
    host_key: str = Field("", description="The secret that the host shows to the internal endpoints.")
    internal_url: str = Field("http://127.0.0.1:8080", description="Where a host finds the internal endpoints.")
    host_path: Path = Field(
        Path(".puchify/host"), description="Image cache, disks and seeds; best on XFS with reflink."
    )
    host_run: Path = Field(Path("/run/puchify/host"), description="Sockets of guests; a short path.")
    host_disk_gib: int = Field(
        64, description="Size of the XFS that `puchify up` makes for disks where there is no reflink; sparse."
    )
    image_cache_gib: int = Field(
        20, ge=1, description="What images and their grown templates may take of a host; the least used ones leave."
    )
    image_store: Path = Field(
        Path(".puchify/images"), description="Where images are, by digest; on one machine a directory."
    )
    image_store_engine: Literal["directory", "cephfs", "glusterfs"] = Field(
        "directory", description="What replicates the image store; a directory is on this machine alone."
    )
    image_store_conf: Path | None = Field(
        None, description="The ceph.conf with which the health of CephFS is asked for. Empty: where Ceph looks itself."
    )
    image_store_volume: str = Field("images", description="The GlusterFS volume that it is on.")
    image_scratch: Path = Field(
        Path(".puchify/scratch"), description="Where region workers take uploaded images apart: a local directory."
    )
    images_at_once: int = Field(
        20, ge=0, description="Images that a project may bring in at a time; each takes room until it is made."
    )
    images_per_project: int = Field(100, ge=0, description="Images that a project may keep, those on their way too.")
    image_gb_per_project: float = Field(
        1000, ge=0, description="What a project's images may take in the image store, in GiB."
    )
    networks_per_project: int = Field(100, ge=0, description="Networks that a project may have.")
    firewalls_per_project: int = Field(100, ge=0, description="Firewalls that a project may have.")
    load_balancers_per_project: int = Field(
        50, ge=0, description="Load balancers that a project may have; each takes two public addresses."
    )
    certificates_per_project: int = Field(100, ge=0, description="Certificates that a project may have.")
    ssh_keys_per_project: int = Field(500, ge=0, description="SSH keys that a project may have.")
    placement_groups_per_project: int = Field(100, ge=0, description="Placement groups that a project may have.")
    primary_ips_per_project: int = Field(
        100, ge=0, description="Primary IPs that a project may have beside those that go with the server they are of."
    )
    zones_per_project: int = Field(500, ge=0, description="DNS zones that a project may have.")
    upload_patience: float = Field(
        86_400, gt=0, description="Seconds without a byte after which the upload of an image is given up."
    )
    source_refused: list[CheckedNetwork] = Field(
        [], description="Public networks that images are not fetched from all the same (JSON list): one's own."
    )
    libvirt_uri: str = Field("qemu:///system", description="`puchify up` sets it to its private libvirtd.")
    host_slots: int = Field(200, description="Steps a host does at a time; most of them wait for a guest to boot.")
    address_pools: list[str] = Field(
        ["203.0.113.0/24", "2001:db8:100::/48"],
        description="Networks that addresses are out of (JSON list). `puchify up` puts them into the books; a host "
        "without others (`vtep`) lets packets to absent guests go no further.",
    )
    uplinks: list[str] = Field(
        [],
        description="Interfaces guests may be forwarded to (JSON list). None: guests reach this host and each other.",
    )
    forbidden: list[CheckedNetwork] = Field(
        [], description="Networks that guests never reach, whatever leads there (JSON list): the infrastructure's."
    )
    vtep: CheckedAddress = Field(
        "", description="This host's address in the tunnels of private networks. Empty: all servers are on this host."
    )
    vteps: list[CheckedNetwork] = Field(
        [],
        validate_default=True,
        description="The networks that such addresses of all hosts and edges are from (JSON list), needed with `vtep`: "
        "guests never reach them, and tunnels are accepted from nobody else.",
    )
    private_mtu: int = Field(
        1450, ge=1280, le=9500, description="Bytes of a packet in a private network: the underlay's MTU less 50."
    )
    connections_pace: int = Field(
        2_000,
        ge=1,
        le=100_000,
        description="Connections a second that each port of a server may begin, and as many that it may take, for as "
        "long as it likes; those of a minute at once. All servers of a host share its table of connections, and how "
        "many of them a server holds is not bounded.",
    )
    connections_idle: int = Field(
        1800,
        ge=60,
        le=432_000,
        description="Seconds without a packet after which a host forgets a connection of its servers. Whoever may "
        "begin one goes on with it all the same; the other end is not heard until then.",
    )
    nameservers: list[str] = Field([], description="Resolvers written into the seed (JSON list).")
    metadata: bool = Field(
        True,
        description="Whether guests are answered on 169.254.169.254, each about itself. Meanwhile the host cannot ask "
        "there itself, which it may want to where it is somebody's guest.",
    )

    # The name servers
    dns_api_url: str = Field(
        "",
        description="PowerDNS' web server, through which names are written; `puchify up` sets it to its own. Empty: "
        "nobody answers for zones and servers' names, they are kept only.",
    )
    dns_api_key: str = Field("", description="PowerDNS' API key. `puchify up`: a file in `state`, made once.")
    dns_address: list[str] = Field(
        ["127.0.0.1", "::1"], description="Where the PowerDNS of `puchify up` answers (JSON list)."
    )
    dns_primaries_allowed: list[CheckedNetwork] = Field(
        [],
        description="Networks that secondary zones may be transferred from beside public ones (JSON list): "
        "where other name servers of your own are.",
    )
    dns_port: int = Field(5354, description="Its port; the next one is its web server's, on loopback.")

    # The edge worker
    edge_id: int = Field(1, description="This edge's id in the books.")
    edge_key: str = Field("", description="The secret that the edge shows to the internal endpoints.")
    edge_run: Path = Field(
        Path("/run/puchify/edge"), description="HAProxy's configuration and sockets on the edge; a short path."
    )
    edge_connections: int | None = Field(
        None,
        ge=100,
        description="Connections of clients that each worker of HAProxy takes at a time, for all load balancers, each "
        "with two files open; the projects on the edge share them evenly, up to eight. Without it: as many as the "
        "limit of open files and the memory allow (2.2 files and 64 KiB for each), 100,000 at most.",
    )
    edge_namespaces: str = Field(
        "pe{edge}-",
        description="How network namespaces of load balancers' private sides are named, before the member's id; all "
        "of a machine see them.",
    )

    # Promises
    address_rest: float = Field(300, description="Seconds a released public address rests before it is used again.")
    sweep_after: float = Field(15, description="Seconds after which an order without a story is started by the sweep.")
    image_grace: float = Field(
        3600, description="Seconds that what nobody needs stays in the image store, as what is being published may."
    )
    image_verify_every: float = Field(
        604_800, description="Seconds after which a stored image is read back once more, whoever uses it."
    )
    audit_grace: float = Field(
        120, description="Seconds that a leak may last before it is healed: hosts report, and clear up, every 30 s."
    )
    guest_patience: float = Field(290, description="Seconds from its start that a guest has until it is ready.")
    timeout_factor: float = Field(1.0, description="Stretches every step's timeouts; tests compress them.")

    @field_validator("vteps", mode="after")
    @classmethod
    def _with_our_own(cls, vteps: list[str], told: ValidationInfo) -> list[str]:
        """Without it, whoever sends to a host's tunnels is in all private networks."""
        vtep = told.data.get("vtep")
        if vtep and not any(ip_address(vtep) in ip_network(network) for network in vteps):
            raise ValueError(f"must name the networks of all tunnel ends, and so of `vtep`, {vtep}")
        return vteps


@cache
def settings() -> Settings:
    return Settings()
