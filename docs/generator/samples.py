"""Record the sample traces of the package again: `python -m docs.generator.samples`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moe.traces import Trace, samples, save_trace, write_logits_csv
from moe.traces.record import held_out_documents, record_trainer
from moe.training import Trainer

CSV_TOKENS = 576
TEXTS_PER_DOMAIN, TEXT_BYTES = 4, 96


def record_sample(sample: samples.Sample) -> Trace:
    """Train a sample's model and record it on held-out texts of every domain."""
    trainer = Trainer(sample.settings)
    for _ in trainer.run():
        pass
    documents = held_out_documents(trainer, TEXTS_PER_DOMAIN, TEXT_BYTES)
    return record_trainer(trainer, documents, model=f"tiny ({sample.name})")


def thinned(trace: Trace, n_tokens: int) -> Trace:
    """Return the trace of some whole sequences, evenly apart: about `n_tokens`."""
    step = max(trace.n_tokens // max(n_tokens, 1), 1)
    kept_N = np.isin(trace.sequence_N, np.unique(trace.sequence_N)[::step])
    return trace.part(np.flatnonzero(kept_N))


def write_samples() -> list[Path]:
    """Train, record and write all samples; return their paths."""
    samples.FOLDER.mkdir(exist_ok=True)
    for sample in samples.SAMPLES:
        save_trace(record_sample(sample), sample.path)
    write_logits_csv(thinned(samples.SAMPLES[0].load(), CSV_TOKENS), samples.CSV)
    return [*(sample.path for sample in samples.SAMPLES), samples.CSV]


if __name__ == "__main__":
    for path in write_samples():
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")
