"""The ground everything stands on: PostgreSQL, Temporal, libvirtd, and the supervisor that runs them."""
