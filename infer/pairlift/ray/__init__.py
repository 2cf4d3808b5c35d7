"""Ray: scores the chunks of a job on the machines of a cluster."""
