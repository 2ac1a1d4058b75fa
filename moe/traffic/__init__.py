"""Which experts real traffic reads: measured tables, a law fitted to them, and what it predicts."""

from .law import Locality, chosen_by_law, fit_locality, fit_spread, reads_in_a_row
from .model import EVEN, ExpertTraffic, find_traffic, traffic_of_trace
from .tables import TABLES, RoutingTable

__all__ = [
    "EVEN",
    "TABLES",
    "ExpertTraffic",
    "Locality",
    "RoutingTable",
    "chosen_by_law",
    "find_traffic",
    "fit_locality",
    "fit_spread",
    "reads_in_a_row",
    "traffic_of_trace",
]
