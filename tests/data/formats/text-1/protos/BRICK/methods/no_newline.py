# author: "model:qwen3.5"
# reads: []
# writes: []
# reason: ""
# method: "no_newline"

def no_newline(self): return 1