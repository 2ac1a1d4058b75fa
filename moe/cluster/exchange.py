"""Rows sent to the ranks that need them, and sums of results sent back; every byte counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


class Wire:
    """A communicator that counts what it sends.

    Attributes
    ----------
    bytes_P
        Payload bytes that this rank sent to each rank, itself included, by exchanges.
    gathered
        Payload bytes that this rank sent to others by `gather`, one copy to each.
    """

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.rank, self.size = int(comm.rank), int(comm.size)
        self.bytes_P = np.zeros(self.size, np.int64)
        self.gathered = 0

    def counts(self, send_P: np.ndarray) -> np.ndarray:
        """How many rows each rank will send here; not counted as payload."""
        received_P = np.empty_like(send_P)
        self.comm.Alltoall(send_P, received_P)
        return received_P

    def exchange(self, rows: np.ndarray, send_P: np.ndarray, receive_P: np.ndarray) -> np.ndarray:
        """Send the first rows to rank 0, the next to rank 1, ...; return what arrives, in order."""
        width = int(np.prod(rows.shape[1:]))
        arrived = np.empty((int(receive_P.sum()), *rows.shape[1:]), rows.dtype)
        self.comm.Alltoallv(
            [np.ascontiguousarray(rows), (send_P * width, _starts(send_P) * width)],
            [arrived, (receive_P * width, _starts(receive_P) * width)],
        )
        self.bytes_P += send_P * width * rows.itemsize
        return arrived

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """All ranks' rows, in order of rank, on every rank."""
        counts_P = np.empty(self.size, np.int64)
        self.comm.Allgather(np.array([len(rows)], np.int64), counts_P)
        width = int(np.prod(rows.shape[1:]))
        whole = np.empty((int(counts_P.sum()), *rows.shape[1:]), rows.dtype)
        self.comm.Allgatherv(
            np.ascontiguousarray(rows), [whole, (counts_P * width, _starts(counts_P) * width)]
        )
        self.gathered += rows.nbytes * (self.size - 1)
        return whole


@dataclass(frozen=True)
class Listed:
    """Assignments of rows: which row, which expert, what weight; (A,) each."""

    row_A: np.ndarray
    expert_A: np.ndarray
    weight_A: np.ndarray


class Hop:
    """One exchange: rows to ranks with their assignments, and back by the same ways.

    Parameters
    ----------
    wire
        What carries it.
    listed
        This rank's assignments of its rows.
    to_A
        The rank that each assignment goes to.
    n_rows
        Rows on this rank, N.
    merge
        Send a row once to a rank, however many of its assignments go there.

    Attributes
    ----------
    listed
        The assignments that arrived, of the rows that arrived.
    n_rows
        Rows that arrived, M.
    """

    def __init__(
        self, wire: Wire, listed: Listed, to_A: np.ndarray, n_rows: int, merge: bool
    ) -> None:
        self.wire, self.n_sent = wire, n_rows
        self.order_A = np.argsort(to_A, kind="stable")
        to_A, row_A = to_A[self.order_A], listed.row_A[self.order_A].astype(np.int64)
        first_A = np.arange(len(to_A))
        if merge:
            keys_A = to_A.astype(np.int64) * max(n_rows, 1) + row_A
            _, first_A, copy_A = np.unique(keys_A, return_index=True, return_inverse=True)
        else:
            copy_A = first_A
        self.source_R = row_A[first_A]
        size = wire.size
        self.rows_out_P = np.bincount(to_A[first_A], minlength=size).astype(np.int64)
        self.list_out_P = np.bincount(to_A, minlength=size).astype(np.int64)
        self.rows_in_P = wire.counts(self.rows_out_P)
        self.list_in_P = wire.counts(self.list_out_P)
        self.n_rows = int(self.rows_in_P.sum())
        within_A = (copy_A - np.repeat(_starts(self.rows_out_P), self.list_out_P)).astype(np.int32)
        arrived_A = self._list(within_A) + np.repeat(_starts(self.rows_in_P), self.list_in_P)
        self.listed = Listed(
            arrived_A,
            self._list(listed.expert_A[self.order_A].astype(np.int32)),
            self._list(listed.weight_A[self.order_A]),
        )

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Send rows, (N, D), where their assignments go; return those that arrive, (M, D)."""
        return self.wire.exchange(rows[self.source_R], self.rows_out_P, self.rows_in_P)

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """Send results, (M, D), back; return their sums per row of this rank, (N, D)."""
        back = self.wire.exchange(rows, self.rows_in_P, self.rows_out_P)
        total = np.zeros((self.n_sent, rows.shape[1]), rows.dtype)
        np.add.at(total, self.source_R, back)
        return total

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Send one number of each arrived assignment back to where it was listed."""
        listed = np.empty(len(self.order_A), values.dtype)
        listed[self.order_A] = self.wire.exchange(values, self.list_in_P, self.list_out_P)
        return listed

    def _list(self, values: np.ndarray) -> np.ndarray:
        return self.wire.exchange(values, self.list_out_P, self.list_in_P)


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.cumsum(counts) - counts
