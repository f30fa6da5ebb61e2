"""`python -m a4ps`: the same as the command `a4ps`."""

from a4ps.cli.main import main

if __name__ == "__main__":
    main()
