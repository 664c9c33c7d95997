"""What services exchange: messages, events, the state of a task, error codes, file names."""
