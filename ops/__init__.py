"""What runs and watches pingpost: the sandbox buyer, the demo, and everything around."""
