"""What leads brought: the same measures as a table, as CSV and JSON."""
