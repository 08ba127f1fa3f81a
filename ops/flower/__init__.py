"""Flower, as an operator of pingpost wants it: the same however it is started. README.md shows its pages.

Flower's command line beats its configuration file, which beats its environment. So what an operator may want to change
is a default of the environment (`environment`), and the file `flowerconfig.py` has what no variable can hold.
"""
