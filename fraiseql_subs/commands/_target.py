"""Finds the manager that a command line names: `module:manager`.

Not here: what is done with it, and what is wrong with its declarations, which raises as it does in
the program.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import click

from .._loading import loading
from ..manager import SubscriptionManager
from ._status import FAILURE
from ._traceback import told

EXAMPLE = "write module:manager, such as app:manager"


class TargetError(click.ClickException):
    """The module, or what it calls when it is imported, raises."""

    exit_code = FAILURE

    def show(self, file: Any = None) -> None:
        """Print the text alone, which has lines."""
        click.echo(self.message, file=file, err=file is None)


ANOTHER_FOLDER = "; --app-dir names another folder"
"""The end of the error of a module that is not found, where no other name is like it."""


def load_manager(target: str, app_dir: str | Path = ".") -> SubscriptionManager:
    """Return the manager that a command line names.

    Args:
        target: `module:attribute`; the attribute may have dots, and may be a function without
            parameters that returns a manager. Or a module with one manager.
        app_dir: Folder that modules are imported from.

    Raises:
        click.UsageError: There is no such module, no such attribute, or it is no manager.
        TargetError: The module, or the function, raises.
    """
    module, name = load_module(target, app_dir)
    value = find_attribute(module, name) if name else _only_manager(module)
    if isinstance(value, SubscriptionManager):
        return value
    if isinstance(value, type) or not callable(value):
        _refuse_kind(target, value, module)
    return _call(target, value, module)


def load_module(target: str, app_dir: str | Path = ".") -> tuple[ModuleType, str]:
    """Import the module of `module:attribute`; return it, and the attribute or "".

    Raises:
        click.UsageError: There is no such module.
        TargetError: It raises.
    """
    name, _, attribute = target.partition(":")
    if "/" in name or "\\" in name or name.endswith(".py"):
        likely = name.removesuffix(".py").strip("./").replace("/", ".").replace("\\", ".")
        text = f"{target}: that is a path: {EXAMPLE}; here {likely}:{attribute or 'manager'}"
        raise click.UsageError(text)
    parts = [*name.split("."), *(attribute.split(".") if ":" in target else [])]
    if not all(part.isidentifier() for part in parts):
        raise click.UsageError(f"{target!r} names no module and attribute: {EXAMPLE}")
    folder = app_folder(app_dir)
    if str(folder) not in sys.path[:1]:
        sys.path.insert(0, str(folder))
    return _import(name, folder), attribute


def app_folder(app_dir: str | Path) -> Path:
    """Return the folder that modules are imported from.

    Raises:
        click.UsageError: There is none.
    """
    folder = Path(app_dir).resolve()
    if not folder.is_dir():
        raise click.UsageError(f"--app-dir: {app_dir} is no folder: write the one of the module")
    return folder


def _import(name: str, folder: Path) -> ModuleType:
    try:
        with loading(name):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        # What the module imports itself may be missing as well.
        if missing != name and not name.startswith(f"{missing}."):
            raise TargetError(told(error, f"{name} cannot be imported")) from None
        _refuse_missing(name, missing, folder)
    except SystemExit as error:
        text = f"{name} ends the program while it is imported (sys.exit({error.code!r})): begin"
        raise TargetError(
            f'{text} that part of the module with `if __name__ == "__main__":`'
        ) from None
    except Exception as error:
        raise TargetError(told(error, f"{name} cannot be imported")) from None


def _refuse_missing(name: str, missing: str, folder: Path) -> NoReturn:
    parent, _, last = missing.rpartition(".")
    place = folder.joinpath(*parent.split(".")) if parent else folder
    near = difflib.get_close_matches(last, _modules(place), n=3)
    names = [f"{parent}.{other}" if parent else other for other in near]
    rest = name.removeprefix(missing)
    advice = _did_you_mean([other + rest for other in names]) or ANOTHER_FOLDER
    raise click.UsageError(f"there is no module {missing} in {folder}{advice}")


def _modules(folder: Path) -> list[str]:
    found = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py"))):
                found.append(path.stem)
    return found


def find_attribute(module: ModuleType, name: str) -> Any:
    """Return an attribute of a module, whose name may have dots.

    Raises:
        click.UsageError: There is none; the error has names that are near.
    """
    value: Any = module
    for part in name.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            names = [other for other in dir(value) if not other.startswith("__")]
            near = difflib.get_close_matches(part, names, n=3)
            near += [other for other in _managers(module) if other not in near]
            advice = _did_you_mean(near) or f": {EXAMPLE}"
            raise click.UsageError(f"{module.__name__} has no {name}{advice}") from None
        except Exception as error:
            raise TargetError(told(error, f"{module.__name__}:{name} cannot be read")) from None
    return value


def _did_you_mean(names: list[str]) -> str:
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _managers(module: ModuleType) -> list[str]:
    """Return the names of the managers of a module, each once."""
    seen: list[object] = []
    names = []
    for name, value in vars(module).items():
        if isinstance(value, SubscriptionManager) and not any(value is other for other in seen):
            seen.append(value)
            names.append(name)
    return names


def _only_manager(module: ModuleType) -> Any:
    names = _managers(module)
    if len(names) == 1:
        return getattr(module, names[0])
    if names:
        choices = " or ".join(f"{module.__name__}:{name}" for name in names)
        raise click.UsageError(f"{module.__name__} has several managers: write {choices}")
    raise click.UsageError(
        f"{module.__name__} has no SubscriptionManager: {EXAMPLE}, or the name of a function that"
        " returns one"
    )


def _refuse_kind(target: str, value: object, module: ModuleType) -> NoReturn:
    kind = value.__name__ if isinstance(value, type) else f"of type {type(value).__name__}"
    choices = [f"{module.__name__}:{name}" for name in _managers(module)]
    advice = _did_you_mean(choices) or (
        ": name a SubscriptionManager, or a function without parameters that returns one"
    )
    raise click.UsageError(f"{target} is {kind}, and no SubscriptionManager{advice}")


def _call(target: str, function: Any, module: ModuleType) -> SubscriptionManager:
    """Call a function that returns a manager."""
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        text = f"{target}() cannot be called: {error}: name a function without parameters"
        raise click.UsageError(text) from None
    except ValueError:
        # It has no signature.
        pass
    try:
        with loading(module.__name__):
            value = function()
    except Exception as error:
        raise TargetError(told(error, f"{target}() raises")) from None
    if inspect.iscoroutine(value):
        value.close()
        text = f"{target} is an async function: name a plain one that returns a SubscriptionManager"
        raise click.UsageError(text)
    if not isinstance(value, SubscriptionManager):
        _refuse_kind(f"{target}()", value, module)
    return value
