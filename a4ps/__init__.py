"""A4PS, the Entropic OS: a local-first society of AI personas living in one durable image.

Importing this package has no effects and loads nothing heavy. The command line is `a4ps.cli.main`; programs start
from `a4ps.kernel.wiring.open_kernel`.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
