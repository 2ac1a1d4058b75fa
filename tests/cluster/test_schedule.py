"""Bubbles as published, and what overlap hides."""

import pytest

from moe.cluster.schedule import BUBBLES, bubble, overlap


def test_bubbles_of_table_2():
    """DeepSeek-V3 table 2, for times that tell all terms apart."""
    f, b, w, both, pp = 1.0, 2.5, 0.75, 3.0, 16
    published = {
        "1F1B": ((pp - 1) * (f + b), 1, pp),
        "ZB1P": ((pp - 1) * (f + b - 2 * w), 1, pp),
        "DualPipe": ((pp / 2 - 1) * (both + b - 3 * w), 2, pp + 1),
    }
    for method in BUBBLES:
        made = bubble(method, pp, f, b, w, both)
        print(f"{method}: bubble {made.idle}, parameters x{made.parameters}, {made.activations}")
        assert (made.idle, made.parameters, made.activations) == published[method]
    assert bubble("1F1B", 4, 1, 2, 1, micro_batches=9).share == pytest.approx(9 / (9 + 27))


def test_more_micro_batches_leave_a_smaller_share_idle():
    shares = [bubble("DualPipe", 8, 1, 2, 1, micro_batches=n).share for n in (8, 16, 64)]
    assert shares == sorted(shares, reverse=True) and shares[0] < 1


def test_overlap_hides_the_shorter():
    free = overlap(100.0, 60.0, communicating=0)
    assert (free.in_turn_us, free.overlapped_us, free.exposed_us) == (160.0, 100.0, 0.0)
    assert overlap(60.0, 100.0, communicating=0).exposed_us == 40.0
    # 20 of 132 multiprocessors communicate: computing takes 132/112 as long.
    assert overlap(112.0, 100.0).overlapped_us == pytest.approx(132.0)
    assert overlap(0.0, 0.0).speed_up == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: bubble("GPipe", 4, 1, 2, 1), "method: got 'GPipe'"),
        (lambda: bubble("DualPipe", 5, 1, 2, 1), "stages: got 5"),
        (lambda: bubble("1F1B", 1, 1, 2, 1), "stages: got 1"),
        (lambda: bubble("ZB1P", 4, 1, 2, 2), "weight: got 2"),
        (lambda: bubble("1F1B", 4, 0, 2, 1), "forward: got 0"),
        (lambda: bubble("DualPipe", 4, 1, 2, 1, both=0), "both: got 0"),
        (lambda: overlap(-1, 1), "compute_us: got -1"),
        (lambda: overlap(1, 1, 132), "communicating: got 132"),
    ],
)
def test_a_wrong_value_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
