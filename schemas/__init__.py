"""What the processes agree on: messages, tasks, events, keys, storage layout, scripts."""
