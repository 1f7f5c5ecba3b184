"""From settings to steps: what is checked, what is loaded, and how a prompt becomes a text."""
