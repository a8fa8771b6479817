"""The fault suite: what the promises are worth while processes, servers and wires fail."""
