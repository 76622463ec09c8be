import inspect
import pickle

import pytest

from suraksha import errors
from suraksha.errors import (
    InputError,
    MissingExtraError,
    SurakshaError,
    UnknownNameError,
    UnreadableError,
    UnsuitableError,
)

CLASSES = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if kind.__module__ == errors.__name__
}


def drawn_tree():
    """Class -> parent, as the module's docstring draws it: two columns of branches."""
    parents, branch = {}, "SurakshaError"
    for line in errors.__doc__.splitlines():
        if "|- " in line or "`- " in line:
            before, _, after = line.partition("- ")
            name, deep = after.split()[0], len(before) > 2
            parents[name] = branch if deep else "SurakshaError"
            branch = branch if deep else name
    return parents


def test_the_docstring_shows_the_class_tree():
    real = {name: kind.__bases__[0].__name__ for name, kind in CLASSES.items()}
    assert real.pop("SurakshaError") == "Exception"
    assert drawn_tree() == real


def test_every_error_has_three_parts():
    error = SurakshaError("the file is locked", "another process uses it", "Wait for it")
    assert (error.what, error.why, error.fix) == error.args
    assert str(error) == "the file is locked: another process uses it. Wait for it."


OWN_WORDS = {"UnknownNameError", "MissingExtraError", "UnreadableError", "UnsuitableError"}


@pytest.mark.parametrize("name", sorted(set(CLASSES) - OWN_WORDS))
def test_all_errors_have_one_base_class(name):
    with pytest.raises(SurakshaError, match=r"^a: b\. c\.$"):
        raise CLASSES[name]("a", "b", "c")


@pytest.mark.parametrize(
    "error",
    [
        InputError("a", "b", "c"),
        UnknownNameError("model", "unte", ["unet"]),
        MissingExtraError("training", "train", "torch"),
        UnreadableError("a.png", "b", "c"),
        UnsuitableError("a", "b"),
    ],
)
def test_errors_are_pickled(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


def test_a_similar_name_is_suggested():
    message = str(UnknownNameError("model", "surakhsa", ["unet", "suraksha", "fcn"]))
    assert message.startswith("unknown model 'surakhsa': ")
    assert "Did you mean 'suraksha'?" in message
    assert message.endswith("Known: fcn, suraksha, unet.")


def test_nothing_is_suggested_without_a_similar_name():
    message = str(UnknownNameError("model", "zzz", iter(["unet"])))
    assert "Did you mean" not in message
    assert message.endswith("Known: unet.")
    assert str(UnknownNameError("model", "zzz", [])).endswith("Known: none.")


def test_a_missing_extra_names_the_command():
    message = str(MissingExtraError("training", "train", "torch"))
    assert "'torch'" in message
    assert "pip install '.[train]'" in message
