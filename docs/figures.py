"""Draw the README's picture again, from two real runs: `python docs/figures.py`."""

from pathlib import Path

from moe import TrainSettings
from moe.app.balance.chart import poster
from moe.training.runs import run

HERE = Path(__file__).parent


def main() -> None:
    """Train without balancing and with the bias, and draw both."""
    runs = [run(TrainSettings(balance=name)) for name in ("none", "bias")]
    (HERE / "img" / "collapse.png").write_bytes(poster(*runs).image("png"))


if __name__ == "__main__":
    main()
