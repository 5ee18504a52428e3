"""Pure decisions: value in, value out; nothing of ours but this folder, nothing beyond the standard library."""
