"""Libraries of the extra `report`, which some commands need."""

import importlib.util

from omnimouse_cli.errors import OmniMouseError

# Names of modules and of the packages that have them.
PACKAGES = {"scipy": "scipy", "matplotlib": "matplotlib", "sklearn": "scikit-learn"}


def require_libraries(command: str, *modules: str) -> None:
    """Check that the libraries of the extra `report` are installed.

    Args:
        command: Name of the command that needs them.
        modules: Names of their modules.

    Raises:
        OmniMouseError: A library is not installed.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise OmniMouseError(
                f"{command} needs {PACKAGES[module]}, which is not installed",
                hint="install the extra: pip install 'omnimouse[report]'",
            )
