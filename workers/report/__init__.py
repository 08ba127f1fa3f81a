"""What leads brought: the same measures as a table, as CSV and JSON, and as a page with plots that opens from disk."""
