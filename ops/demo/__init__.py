"""The demo: 100 sample leads through everything, checked against the sandbox's own book."""
