"""Training as records: settings in, one record for each step out, and finished runs summed up."""

from .live import Change as Change
from .live import LiveRecord as LiveRecord
from .live import LiveRun as LiveRun
from .live import Recipe as Recipe
from .settings import TrainSettings as TrainSettings
from .settings import suits as suits
from .trainer import Trainer as Trainer
from .trainer import TrainRecord as TrainRecord
from .trainer import train as train
