"""What serves each request, one module for each noun; `a4ps.kernel.dispatch` finds it there."""
