"""`python -m babelmix`."""

from babelmix.cli import main

if __name__ == "__main__":
    main()
