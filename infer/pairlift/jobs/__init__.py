"""Jobs: the options, `score_file`, and the engines that score the chunks in this process."""
