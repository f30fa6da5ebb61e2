"""The kinds of files that can be remembered, by the ends of their names."""

from __future__ import annotations

TEXT_SUFFIXES = frozenset({".txt", ".text", ".md", ".markdown", ".rst", ".org"})
PDF_SUFFIX = ".pdf"
SUFFIXES = TEXT_SUFFIXES | {PDF_SUFFIX}
