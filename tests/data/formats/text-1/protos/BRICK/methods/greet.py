# author: "architect"
# reads: ["mood"]
# writes: []
# reason: "says hello"
# method: "greet"

def greet(self, name):
    """Say hello."""
    return f"Hello, {name} — I am {self.state['mood']}"
