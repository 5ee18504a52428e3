"""The lab: a region of three availability zones on one machine, to see what the loss of a zone does.

A zone is a machine room in miniature: a network namespace on a switch of the lab's own, with its own processes, mounts
and host name. It can be killed (as kill -9 of everything at once), cut from the network, and healed. What runs in the
zones is an engine's affair; clients are machines outside all zones that mount what the engine offers.
"""
