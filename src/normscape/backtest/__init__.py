"""What other monitor settings would have said of one's own history."""

from normscape.backtest.backtest import Backtest, Outcome, backtest
from normscape.backtest.settings import Setting, grid

__all__ = ["Backtest", "Outcome", "Setting", "backtest", "grid"]
