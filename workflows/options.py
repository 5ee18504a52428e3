"""Every step's place, timeouts and retries, in one table, each with its reason.

``local``   in the region worker, inside the workflow task: for one short transaction on the way to the first answer.
``region``  any region worker. ``host``: the one worker of the server's host, whose queue is the host's own. ``edge``:
that of an edge node, likewise.

Times are in seconds. ``run``: one try. ``within``: all tries together, and what passes (a restart of libvirt, of the
API) has to pass in it; None: for ever, as for every undo in the region and for what must not fail any more.
``beat``: silence after which a try counts as dead; every step on a host says each second that it is at work.
Temporal's timers have a floor of one second, so nothing here is shorter. ``puchify deadlines`` prints all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from temporalio.common import RetryPolicy
from temporalio.exceptions import TimeoutType

from infra.config import settings

FACTOR = settings().timeout_factor
OURS = max(FACTOR, 0.5)
"""Of steps on no host or edge: one that is gone is soon known; the books of a busy machine are no quicker."""
PATIENCE = settings().guest_patience

QUEUE = max(5 * FACTOR, 1.0)
"""A host takes a step in milliseconds. One that has not by now is asked for a sign of life, and perhaps left."""
BEAT = max(5 * FACTOR, 2.0)
"""A step that says nothing for so long is nobody's any more. The host is asked, as above, and a worker that was only
restarted does the step anew; Temporal's own retries would go to a dead worker's open polls, one after the other."""
ASK = {TimeoutType.SCHEDULE_TO_START: 12, TimeoutType.HEARTBEAT: 2}
"""How often a host that gives signs of life may leave a step waiting (fifty creates at once on one queue: for 10 s), or
go silent in it (its worker was started again, and perhaps once more): after that it is not alive, whatever it says."""
RETURN = 120 * FACTOR
"""When no other host fits, one that went silent may come back until then: a restart is waited for, a repair is not."""
RETURN_PAUSE = max(5 * FACTOR, 1.0)
RETURN_LOOKS = round(RETURN / RETURN_PAUSE)

AT_ONCE = 50
"""Servers whose ports follow a change at a time: a firewall may be on thousands."""
LONGEST_PAUSE = max(60 * FACTOR, 1.0)
"""Between two looks for hosts that are away while a change waits for them; the first pause is a RETURN_PAUSE."""

HOSTS_TO_TRY = 3
DEADLINE = (HOSTS_TO_TRY * PATIENCE + 30) * FACTOR + RETURN
"""A create is in a terminal state, or unwinding, after this: three hosts, each given up as late as it may be."""

PRESS = 5
"""A guest has so long to obey its power button before its story looks whether anything else is wanted by now."""
POWER_WITHIN = 600 * FACTOR
"""A power command whose host does not do it until then has failed. Its owner may ask again, or delete the server."""
REBOOT_PATIENCE = 60 * FACTOR
"""A guest that is told to shut down for a reboot and has not by then is stopped; clients wait for two minutes."""
SHUTDOWN_PATIENCE = 300 * FACTOR
"""A guest that is told to shut down and has not by then is one that goes on running."""

IMPORT_WITHIN = 7 * 24 * 3600
"""An image that is not there by then, however slowly its bytes still come, is given up. (Tests wait no less.)"""

UNWIND_WITHIN = 400
UNWIND = UNWIND_WITHIN * OURS
"""A story that is to stop has given all back after this: the step in hand, then every undo as late as it may be, that
of an edge included. (What may take for ever, names for one, is not counted: it is waited for while it is tried.)
One that has not (a bug of ours, waiting for a mend) is ended by force, and the delete gives back what it holds."""

CHECK_WITHIN = 6 * 3600
"""Reading images back, as many as are doubted: a hundred gigabytes at the speed of a store that heals."""

Place = Literal["local", "region", "host", "edge"]


@dataclass(frozen=True, slots=True)
class Step:
    place: Place
    run: float
    within: float | None
    why: str
    beat: float | None = None
    tries: int = 0

    @property
    def factor(self) -> float:
        return FACTOR if self.place in ("host", "edge") else OURS

    @property
    def silence(self) -> timedelta | None:
        """After which a try counts as dead. A busy worker may be silent for a moment, in compressed times, too."""
        beat = BEAT if self.place == "host" else self.beat and max(self.beat * FACTOR, 5.0)
        return timedelta(seconds=beat) if beat else None

    @property
    def retry(self) -> RetryPolicy:
        return RetryPolicy(
            initial_interval=timedelta(seconds=0.1 if self.place == "local" else 1),
            maximum_interval=timedelta(seconds=10 * FACTOR),
            maximum_attempts=self.tries,
            non_retryable_error_types=["TemporalTimeout:Heartbeat"] if self.place == "host" else None,
        )


STEPS: dict[str, Step] = {
    # admission: one short transaction each, one after the other, before the caller gets an answer
    "reserve_quota": Step("local", 20, 60, "refused at once, or the database is away"),
    "place_server": Step("local", 20, 60, "a pure decision and a guarded write"),
    "assign_addresses": Step("local", 20, 60, "a guarded write"),
    # the image branch
    "ensure_image": Step("host", 600, 900, "a first use copies gigabytes"),
    "create_disk": Step("host", 60, 120, "a reflink, or a copy and a grow"),
    "write_seed": Step("host", 20, 300, "one request to the API, which may be restarting, and a file"),
    # the network branch
    "attach_ports": Step("host", 20, 60, "netlink and one nft transaction"),
    # beside both and the boot
    "publish_dns": Step("region", 20, 120, "name servers may be restarting"),
    "register_targets": Step("region", 10, 120, "the books"),
    "follow_plan": Step("edge", 20, 60, "one request to the API, and HAProxy takes it; a silent edge converges later"),
    # boot
    "define_machine": Step("host", 30, 90, "libvirt may be restarting"),
    "start_machine": Step("host", 60, 120, "QEMU on a loaded host"),
    "wait_ready": Step("host", PATIENCE + 10, PATIENCE + 40, "the guest's own time"),
    # commit
    "finish": Step("local", 10, None, "the server runs: from here on nothing may fail the order"),
    # undo, newest first; on a host that does not answer a tombstone takes its place
    "destroy_machine": Step("host", 30, 90, "libvirt may be restarting"),
    "detach_ports": Step("host", 20, 60, "netlink and one nft transaction"),
    "remove_seed": Step("host", 10, 60, "one file"),
    "remove_disk": Step("host", 20, 60, "one file"),
    "bury": Step("region", 10, None, "a host must learn what to forget"),
    "deregister_targets": Step("region", 10, None, "undo retries for ever"),
    "withdraw_dns": Step("region", 20, None, "a name that leads to nobody's address may lead to somebody else's soon"),
    "release_addresses": Step("region", 10, None, "undo retries for ever"),
    "release_claim": Step("region", 10, None, "undo retries for ever"),
    "release_quota": Step("region", 10, None, "undo retries for ever"),
    "fail": Step("region", 10, None, "the owner must learn how it ended"),
    # a host that leaves a step waiting
    "hear_host": Step("region", 30, None, "silent or only busy: nothing goes on before that is known", beat=10),
    # delete
    "stop_create": Step("region", UNWIND_WITHIN + 60, None, "a create under way unwinds first", beat=15),
    "read_holdings": Step("region", 10, None, "a delete never gives up"),
    "finish_delete": Step("region", 10, None, "a delete never gives up"),
    # a change of a resource
    "follow_change": Step("region", 30, None, "what is accepted is tried until it is so"),
    "read_affected": Step("region", 20, None, "what is accepted is tried until it is so"),
    "read_machine": Step("region", 10, None, "what is accepted is tried until it is so"),
    "finish_change": Step("region", 10, None, "the owner must learn that it is done"),
    # power
    "power_on": Step("host", 60, 120, "QEMU on a loaded host"),
    "power_off": Step("host", 30, 90, "libvirt may be restarting"),
    "press_power": Step("host", PRESS + 15, 60, "the guest has a moment to obey"),
    "finish_power": Step("region", 10, None, "the owner must learn how it ended"),
    "settle_power": Step("region", 10, None, "the owner must learn how it ended"),
    # an image that is brought in: steps that say each second that they are at work
    "read_import": Step("region", 10, 600, "the books"),
    "fetch_source": Step("region", 12 * 3600, 24 * 3600, "gigabytes from a source that may be slow", beat=15),
    "gather_image": Step("region", 4 * 3600, 12 * 3600, "gigabytes out of the store, which may be away", beat=15),
    "convert_image": Step("region", 4 * 3600, 12 * 3600, "gigabytes on local disks", beat=15),
    "publish_image": Step("region", 4 * 3600, 12 * 3600, "gigabytes into the store, which may be away", beat=15),
    "finish_import": Step("region", 10, None, "the owner must learn that it is done"),
    "fail_import": Step("region", 10, None, "the owner must learn how it ended"),
    "clear_import": Step("region", 600, None, "nothing is left of the way, whenever the store is back", beat=15),
    # these look at the world again next time
    "sweep_orders": Step("region", 60, 60, "next time is in ten seconds", tries=1),
    "audit_region": Step("region", 120, 120, "next time is in a minute", tries=1),
    "check_images": Step("region", CHECK_WITHIN, CHECK_WITHIN, "next time is in a minute", beat=30, tries=1),
    "sweep_store": Step("region", 600, 600, "next time is in a minute", beat=30, tries=1),
}
