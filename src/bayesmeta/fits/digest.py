"""A digest of everything in a tree, by which a file says that it is still what was written."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.fits.storage import AGAIN

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["sealed", "take_seal"]

#: The root's attribute that holds it.
DIGEST = "digest"


def _plain(value: Any) -> Any:
    """An attribute as netCDF gives it back, which knows no difference between a number and a sequence of one."""
    return np.atleast_1d(value).tolist()


def _add_values(found: Any, values: np.ndarray[Any, Any]) -> None:
    if values.dtype.kind in "OUT":
        # text is stored without a width
        found.update(json.dumps([str(item) for item in values.ravel()]).encode("utf-8", "surrogatepass"))
        return
    found.update(values.dtype.str.lstrip("<>=|").encode())
    if values.dtype.kind == "f" and np.isnan(values).any():
        # what is missing has one form in files and several in memory
        values = np.where(np.isnan(values), np.nan, values).astype(values.dtype)
    found.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)


def tree_digest(tree: xr.DataTree) -> str:
    """SHA-256 over every group's attributes and variables: names, dims, shapes, types, bytes.

    Parameters
    ----------
    tree : xarray.DataTree
        Its own digest is left out.

    Returns
    -------
    str
        Hexadecimal; the same for a tree in memory and read from a file.
    """
    found = hashlib.sha256()

    def add(*parts: Any) -> None:
        found.update(json.dumps(parts).encode("utf-8", "surrogatepass"))

    for node in sorted(tree.subtree, key=lambda node: node.path):
        dataset = node.to_dataset(inherit=False)
        add("group", node.path)
        variables: list[tuple[str, Any]] = [(str(key), item) for key, item in dataset.variables.items()]
        holders: list[tuple[str, Any]] = [("", dataset), *sorted(variables, key=lambda found: found[0])]
        for name, holder in holders:
            attributes = {str(key): _plain(value) for key, value in sorted(holder.attrs.items()) if key != DIGEST}
            add(name, attributes, *((list(holder.dims), list(holder.shape)) if name else ()))
            if name:
                _add_values(found, holder.values)
    return found.hexdigest()


def sealed(tree: xr.DataTree) -> xr.DataTree:
    """The same tree with its digest."""
    same = tree.copy(deep=False)
    same.attrs = {**tree.attrs, DIGEST: tree_digest(tree)}
    return same


def take_seal(tree: xr.DataTree) -> bool:
    """Check the digest of a tree that was read, and take it off; False where there is none.

    Raises
    ------
    DataError
        If the tree is not what was written.
    """
    if DIGEST not in tree.attrs:
        return False
    if tree.attrs[DIGEST] != tree_digest(tree):
        raise DataError(f"it was damaged or changed after it was written: its digest does not match. {AGAIN}")
    del tree.attrs[DIGEST]
    return True
