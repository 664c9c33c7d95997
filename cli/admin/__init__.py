"""Commands that show and change what is in Redis: tasks, dead letters, webhooks."""
