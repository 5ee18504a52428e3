"""FRR's part of the network: it carries what hosts announce to the routers and the world, and private networks across.

Hosts only touch kernel objects (routes, bridges, VXLANs); FRR reads them and spreads them by BGP, so its configuration
never changes with a server.
"""
