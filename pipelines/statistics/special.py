"""The functions of `scipy.special` that the statistics use, without importing the rest of that package.

They are scipy's own compiled ones, so that figures are the same to the last bit. Importing the package takes ten times
as long as loading them (it brings adapters for the arrays of other libraries, and with these `numpy.f2py` and
`numpy.testing`), which is a tenth of what an audit of a megabyte costs.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_PACKAGE = "scipy.special"


def _compiled_functions() -> Any:
    """The module that holds the functions; the package itself if it is imported already or laid out in another way."""
    if _PACKAGE not in sys.modules:
        scipy = importlib.import_module("scipy")
        # `_ufuncs` imports its neighbours, which needs a parent that knows the folder.
        parent = ModuleType(_PACKAGE)
        parent.__path__ = [f"{path}/special" for path in scipy.__path__]
        sys.modules[_PACKAGE] = parent
        try:
            return importlib.import_module(f"{_PACKAGE}._ufuncs")
        except ImportError:
            pass
        finally:
            del sys.modules[_PACKAGE]  # whoever imports the package gets all of it
            vars(scipy).pop("special", None)
    return importlib.import_module(_PACKAGE)


_functions = _compiled_functions()

betainc: Any = _functions.betainc
betaincinv: Any = _functions.betaincinv
chdtrc: Any = _functions.chdtrc
entr: Any = _functions.entr
kolmogi: Any = _functions.kolmogi
kolmogorov: Any = _functions.kolmogorov
logit: Any = _functions.logit
ndtr: Any = _functions.ndtr
ndtri: Any = _functions.ndtri
pdtrc: Any = _functions.pdtrc
rel_entr: Any = _functions.rel_entr
stdtr: Any = _functions.stdtr
stdtrit: Any = _functions.stdtrit
xlogy: Any = _functions.xlogy
