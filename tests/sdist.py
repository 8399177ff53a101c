"""The source distribution: the package, and all that its tests need."""

from __future__ import annotations

from pathlib import Path

from setuptools.command import sdist as command


class sdist(command.sdist):  # type: ignore[misc]
    """Setuptools finds ``tests/test_*.py`` alone."""

    def make_distribution(self) -> None:
        for folder in ("tests", "benchmarks"):
            found = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            self.filelist.extend(str(path) for path in found if "__pycache__" not in path.parts)
        self.filelist.remove_duplicates()
        super().make_distribution()
