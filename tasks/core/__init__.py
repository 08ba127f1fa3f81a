"""The pure core: what a lead, a bid, a sale and an outcome are, and what follows from an answer.

No I/O, no clock, no Celery: every function is decided by its arguments, and everything of the buyer's that it needs is
handed in as data.
"""
