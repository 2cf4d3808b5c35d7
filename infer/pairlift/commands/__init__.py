"""The commands of the runner, one per file; `options` holds the options that the commands of all stages share."""
