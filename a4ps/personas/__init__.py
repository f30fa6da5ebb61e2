"""Who the four are: their codices and the prompts they speak from."""
