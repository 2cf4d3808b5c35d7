"""Ray: the machines of a cluster do the chunks of a job."""
