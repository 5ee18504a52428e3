"""A restart storm: many clients at work on a whole deployment while every process of it is killed in turn.

`lives` is what the clients do, `killer` what is done to the processes, `verdict` what has to hold when all is calm
again, `report` how it is told, `memory` what the processes hold meanwhile, and `storm` puts them together, for a test
and for a soak alike.
"""
