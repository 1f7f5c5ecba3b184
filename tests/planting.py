"""Plants bugs: copies of modules in which one piece of source was replaced."""

import inspect
import types


def broken(module, right, wrong, **names):
    """A copy of a module in which source found exactly once was replaced, and with other names bound."""
    source = inspect.getsource(module)
    assert source.count(right) == 1, f"{right!r} stands {source.count(right)} times in {module.__name__}"
    return _copy(module, source.replace(right, wrong), names)


def rebound(module, **names):
    """A copy of a module with other names bound, such as a function of a broken module."""
    return _copy(module, inspect.getsource(module), names)


def _copy(module, source, names):
    copy = types.ModuleType(module.__name__)
    copy.__dict__["__builtins__"] = __builtins__
    exec(compile(source, module.__file__, "exec"), copy.__dict__)
    copy.__dict__.update(names)
    return copy
