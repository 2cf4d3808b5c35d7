"""The commands of the runner, one a file; `options` is what the commands of all stages share."""
