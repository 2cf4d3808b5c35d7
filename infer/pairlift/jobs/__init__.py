"""Jobs: the options, `score_file`, and what does the chunks in this process."""
