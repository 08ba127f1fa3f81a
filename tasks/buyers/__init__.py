"""Buyers: their facts as data, their answers read by a mapping, their HTTP behind one small port."""
