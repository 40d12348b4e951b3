"""Files against xarray's own writer through h5netcdf, read by h5netcdf and by the netCDF library itself (Unidata)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import arviz as az
import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

import bayesmeta as bm
from bayesmeta.netcdf import netcdf_bytes

SAMPLED = ("chain", "draw")
ENGINES = ("h5netcdf", "netcdf4")
# how a file is laid out, and where it is, may differ; the pieces of what has no length yet are a guess of either writer
LAYOUT = ("source", "chunksizes", "preferred_chunks")


@cache
def fit() -> bm.Fit:
    study = [f"trial {i}" for i in range(5)]
    moderators = {"kind": list("abacb"), "weeks": [6.0, 12, 8, 24, 10]}
    effects = bm.Effects(study, [-0.9, -0.2, -0.5, 0.1, -0.35], [0.3, 0.2, 0.25, 0.4, 0.15], measure="SMD",
                         moderators=moderators)  # fmt: skip
    beta = {"kind": bm.Coefficient(bm.Normal(0, 0.5)), "weeks": bm.Coefficient(bm.Normal(0, 0.25))}
    return bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), beta))


def everything() -> xr.DataTree:
    """Every type, an empty dimension, a bare one, text of any language, coordinates of each kind, groups in groups."""
    root = xr.Dataset(
        {"y": ("i", np.array([1.0, np.nan, 3.0], np.float32), {"units": "SMD", "range": [0.5, 1.5]})},
        {"i": ["Müller", "Şimşek", "陈"], "label": ("i", list("abc")), "level": 0.95},
        {"title": "Überblick", "seed": 3, "rule": [5, 9], "share": 0.25},
    )
    inner = xr.Dataset(
        {
            "diverging": (SAMPLED, np.zeros((2, 3), bool)),
            "depth": (SAMPLED, np.arange(6, dtype=np.int64).reshape(3, 2).T),
            "small": ("bare", np.array([1, 2], np.uint8)),
            "none": (("empty", "draw"), np.zeros((0, 3))),
            "β": ((), 1.5),
            "note": ((), "a text"),
        },
        {"draw": [0, 1, 2], "chain": np.array([0.5, 1.5])},
    )
    inherits = xr.Dataset({"z": (("i", "j"), np.ones((3, 2)))})
    apart = xr.Dataset(coords={"place": ("k", ["here", "there"])})
    return xr.DataTree.from_dict({"/": root, "/inner": inner, "/inner/deep": inherits, "/apart": apart, "/void": None})


TREES = {"fit": lambda: fit().tree, "everything": everything}


def facts(path: Path, engine: Any) -> tuple[xr.DataTree, dict[str, Any]]:
    """Everything that a reader can see: in order, with types and encodings."""
    tree = xr.load_datatree(path, engine=engine)
    found: dict[str, Any] = {}
    for node in tree.subtree:
        content = node.to_dataset(inherit=False)
        found[node.path] = [
            (name, item.dims, item.dtype, item.attrs, name in content.coords,
             {key: str(value) for key, value in item.encoding.items() if key not in LAYOUT})
            for name, item in content.variables.items()
        ], list(content.attrs.items()), list(content.sizes.items()), content.encoding.get("unlimited_dims")  # fmt: skip
    return tree, found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", TREES)
def test_a_reader_sees_what_xarray_would_have_written(name: str, engine: str, tmp_path: Path) -> None:
    tree = TREES[name]()
    ours, theirs = tmp_path / "ours.nc", tmp_path / "theirs.nc"
    ours.write_bytes(netcdf_bytes(tree))
    tree.to_netcdf(theirs, engine="h5netcdf")
    (read, seen), (expected, should) = facts(ours, engine), facts(theirs, engine)
    assert read.identical(expected)
    assert list(seen) == list(should)
    for group, content in should.items():
        assert repr(seen[group]) == repr(content), group


@pytest.mark.parametrize("name", TREES)
def test_the_netcdf_library_reads_and_extends_a_file(name: str, tmp_path: Path) -> None:
    """It appends only to files that keep the order in which things were made."""
    tree = TREES[name]()
    path = tmp_path / "tree.nc"
    path.write_bytes(netcdf_bytes(tree))

    def check(group: netCDF4.Dataset, node: xr.DataTree) -> None:
        content = node.to_dataset(inherit=False)
        assert list(group.variables) == [str(name) for name in content.variables]
        assert list(group.groups) == list(node.children)
        for key, variable in content.variables.items():
            stored = group.variables[str(key)]
            assert stored.dimensions == variable.dims
            assert stored.dtype == (np.int8 if variable.dtype == bool else stored.dtype)
            values = np.ma.filled(stored[:], np.nan) if variable.dtype.kind == "f" else stored[:]
            np.testing.assert_array_equal(values, variable.values)
        for key, child in node.children.items():
            check(group.groups[key], child)

    with netCDF4.Dataset(path) as file:
        assert file.data_model == "NETCDF4"
        check(file, tree)
    with netCDF4.Dataset(path, "a") as file:
        file.setncattr("comment", "added")
        group = next(iter(file.groups.values()))
        group.createVariable("more", "f8", next(iter(group.dimensions)))[:] = 1.0
    again = xr.load_datatree(path, engine="h5netcdf")
    assert again.attrs["comment"] == "added"
    assert "more" in next(iter(again.children.values()))


def test_the_same_tree_gives_the_same_bytes() -> None:
    assert netcdf_bytes(everything()) == netcdf_bytes(everything())


def test_arviz_reads_a_saved_fit(tmp_path: Path) -> None:
    read = az.from_netcdf(fit().save(tmp_path / "fit.nc"))
    expected = az.summary(fit().tree, var_names=["mu", "tau", "beta"], round_to="none")
    assert az.summary(read, var_names=["mu", "tau", "beta"], round_to="none").equals(expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (xr.Dataset({"x": ("i", np.array(["a", 1], object))}), "x: not every value is text"),
        (xr.Dataset({"x": ("i", np.array([1 + 1j]))}), "x: complex128 is neither a number nor text"),
        (xr.Dataset({"x": ("i", np.array(["2026-01-01"], "M8[s]"))}), "x: datetime64.* neither"),
        (xr.Dataset({"x": 1.0}, attrs={"a": None}), "attribute a: None"),
        (xr.Dataset({"x": 1.0}, attrs={"a": True}), "attribute a: True"),
        (xr.Dataset({"x": 1.0}, attrs={"a": ["b", "c"]}), r"attribute a: \['b', 'c'\]"),
        (xr.Dataset({"x": (("i", "j"), np.ones((2, 2)))}, {"i": (("i", "j"), np.ones((2, 2)))}), "/g/i: a variable"),
    ],
)
def test_what_a_fit_never_holds_is_refused(content: xr.Dataset, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        netcdf_bytes(xr.DataTree.from_dict({"/g": content}))


def test_an_error_leaves_nothing_open() -> None:
    expected = netcdf_bytes(everything())
    kinds = h5py.h5f.OBJ_FILE | h5py.h5f.OBJ_GROUP | h5py.h5f.OBJ_DATASET
    before = h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, kinds)
    kept = []
    for _ in range(3):
        with pytest.raises(TypeError) as error:
            netcdf_bytes(xr.DataTree.from_dict({"/g": xr.Dataset({"x": 1.0}, attrs={"a": None})}))
        kept.append(error)
    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, kinds) == before
    assert netcdf_bytes(everything()) == expected


def test_files_are_made_in_several_threads_at_once() -> None:
    expected = netcdf_bytes(everything())
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(netcdf_bytes, [everything()] * 20)) == {expected}
