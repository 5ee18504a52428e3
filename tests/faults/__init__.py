"""The fault matrix: every step of the product, struck by every fault, and pairs of them; nothing may leak or hang.

``steps`` says what is struck and by what, ``saboteur`` strikes, ``stories`` tells the lives in which it does. They
happen on a ``ground``; ``verdict`` looks at every side of the books afterwards, ``report`` prints the table.
"""
