"""Makes `python -m fullrank` list the commands and start one of them."""

from fullrank.trainers.commands import run

if __name__ == "__main__":
    run()
