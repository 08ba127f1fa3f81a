"""`pingpost bench`: how fast pingpost is beside its peers and the bare machine, in one run on one machine."""
