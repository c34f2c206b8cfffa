import copy
import pickle

from fraiseql_subs.types import SKIP, Skip


def test_skip_stays_the_one_object_through_copy_and_pickle():
    assert Skip() is SKIP
    assert copy.copy(SKIP) is SKIP
    assert copy.deepcopy([SKIP])[0] is SKIP
    assert pickle.loads(pickle.dumps(SKIP)) is SKIP
    assert repr(SKIP) == "SKIP"
