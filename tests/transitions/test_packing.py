import numpy as np

from backtracking.transitions.packing import pack
from backtracking.transitions.sequences import make_sequences


def test_sentences_of_a_step_are_neighbours_and_each_link_knows_the_one_before() -> None:
    labels = [np.array(one) for one in ([0, 1], [2], [3, 4, 5])]
    traces = make_sequences(labels, [np.zeros((len(one), 0)) for one in labels], ["a", "b", "c"],
                            [True] * 3, 6)  # fmt: skip
    packing = pack(traces)
    found = packing.rows_of(traces.label)
    assert found.tolist() == [3, 0, 2, 4, 1, 5]
    assert found[packing.previous].tolist() == [3, 0, 4]
    for before, rows, links in packing.steps:
        assert (found[before] + 1 == found[rows]).all()
        assert (found[packing.previous][links] == found[before]).all()
    back = packing.padded(found, traces)
    assert (back == np.where(traces.present, traces.label, 0)).all()
