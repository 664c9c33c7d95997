"""The dispatcher: turns completion events into webhooks, and sweeps up."""
