"""Let's Make A Lead: its facts as TOML tables, its requests and answers as pure functions (`wire`)."""
