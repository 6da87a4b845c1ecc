import threading

import pytest

from keywork.nn import recurrent_mode, set_recurrent_mode


def test_it_is_steps_outside_of_any_context():
    assert recurrent_mode() is False


def test_contexts_nest_and_restore_also_after_an_exception():
    with set_recurrent_mode():
        assert recurrent_mode() is True
        with pytest.raises(KeyError), set_recurrent_mode(False):
            assert recurrent_mode() is False
            raise KeyError
        assert recurrent_mode() is True
    assert recurrent_mode() is False


def test_it_is_a_decorator_too():
    @set_recurrent_mode(True)
    def mode():
        return recurrent_mode()

    assert mode() is True
    assert recurrent_mode() is False


def test_threads_do_not_see_each_others():
    seen = []
    with set_recurrent_mode(True):
        thread = threading.Thread(target=lambda: seen.append(recurrent_mode()))
        thread.start()
        thread.join()
    assert seen == [False]


@pytest.mark.parametrize("mode", ["sequential", None, 1])
def test_anything_but_a_bool_is_refused(mode):
    with pytest.raises(TypeError) as error, set_recurrent_mode(mode):
        pass
    assert str(error.value) == f"set_recurrent_mode takes True for sequences or False for steps; got {mode!r}."
