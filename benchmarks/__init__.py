"""What `make bench` runs: how fast mailbell is, beside things everybody can run. Nothing else imports it."""
