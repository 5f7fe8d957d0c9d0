"""`python -m omnimouse_cli` is the `omnimouse` command."""

from omnimouse_cli.cli.app import main

if __name__ == "__main__":
    main()
