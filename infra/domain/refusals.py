"""Refusals: what the state of a resource forbids, each with the code by which hcloud's clients know it.

All of them are 422 unless they say otherwise. They are raised where the books are changed, and never inside a story.
"""

from __future__ import annotations

from infra.domain.errors import BadRequest


class Refusal(BadRequest):
    code, status = "service_error", 422


class Protected(Refusal):
    code, status = "protected", 423


class ServiceError(Refusal):
    """For what has no code of its own; the message says what stands in the way."""


class UnsupportedError(Refusal):
    """The wire knows it, this installation does not do it (yet)."""

    code = "unsupported_error"


class ResourceInUse(Refusal):
    code = "resource_in_use"


class MustBeUnassigned(Refusal):
    code = "must_be_unassigned"


# Servers


class PlacementError(Refusal):
    code = "placement_error"


class ServerNotStopped(Refusal):
    code = "server_not_stopped"


class AlreadyInPlacementGroup(Refusal):
    code = "already_in_placement_group"


# Primary IPs


class PrimaryIpAssigned(Refusal):
    code = "primary_ip_assigned"


class PrimaryIpAlreadyAssigned(Refusal):
    code = "primary_ip_already_assigned"


class PrimaryIpDatacenterMismatch(Refusal):
    code = "primary_ip_datacenter_mismatch"


class PrimaryIpVersionMismatch(Refusal):
    code, status = "primary_ip_version_mismatch", 412


class ServerHasIpv4(Refusal):
    code = "server_has_ipv4"


class ServerHasIpv6(Refusal):
    code = "server_has_ipv6"


class ServerIsLoadBalancerTarget(Refusal):
    code = "server_is_load_balancer_target"


# Networks


class ServerAlreadyAttached(Refusal):
    code = "server_already_attached"


class IpNotAvailable(Refusal):
    code = "ip_not_available"


class NoSubnetAvailable(Refusal):
    code = "no_subnet_available"


class NetworksOverlap(Refusal):
    code = "networks_overlap"


# Firewalls


class ServerAlreadyAdded(Refusal):
    code = "server_already_added"


class IncompatibleNetworkType(Refusal):
    code = "incompatible_network_type"


class FirewallAlreadyApplied(Refusal):
    code = "firewall_already_applied"


class FirewallResourceNotFound(Refusal):
    code, status = "firewall_resource_not_found", 404


class FirewallManagedByLabelSelector(Refusal):
    code = "firewall_managed_by_label_selector"


class PrivateNetOnlyServer(Refusal):
    code = "private_net_only_server"


# Load balancers


class SourcePortAlreadyUsed(Refusal):
    code, status = "source_port_already_used", 412


class IpNotOwned(Refusal):
    code = "ip_not_owned"


class LoadBalancerNotAttachedToNetwork(Refusal):
    code = "load_balancer_not_attached_to_network"


class LoadBalancerAlreadyAttached(Refusal):
    code = "load_balancer_already_attached"


class LoadBalancerPublicInterfaceDisabled(Refusal):
    code = "load_balancer_public_interface_disabled"


class ResolveCloudPrivateTargetsError(Refusal):
    code = "resolve_cloud_private_targets_error"


class ResolveCloudPublicTargetsError(Refusal):
    code = "resolve_cloud_public_targets_error"


class TargetAlreadyDefined(Refusal):
    code = "target_already_defined"


class LoadBalancerTargetNotFound(Refusal):
    """The code that Terraform takes for gone; there is nothing to wait for."""

    code, status = "load_balancer_target_not_found", 404


class TargetsWithoutUsePrivateIp(Refusal):
    code = "targets_without_use_private_ip"


class InvalidLoadBalancerType(Refusal):
    code = "invalid_load_balancer_type"


# Zones


class IncorrectZoneMode(Refusal):
    code = "incorrect_zone_mode"
