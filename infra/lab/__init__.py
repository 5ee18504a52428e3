"""The lab: a region of three availability zones on one machine, with its network, to see what a loss does.

Its machines are network, process and mount namespaces: hosts on two routers, zones of a replicated store, a machine
that controls the region, and the world outside. Each can be killed, cut from the network and healed. What our own
processes on them are told is workers/lab's affair; here is the ground.
"""
