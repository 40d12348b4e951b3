"""Files of fits, read by h5netcdf, by the netCDF library itself (Unidata) and by ArviZ."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import arviz as az
import netCDF4
import numpy as np
import pytest
import xarray as xr

import bayesmeta as bm
from bayesmeta.fits import read_tree, write_tree

SAMPLED = ("chain", "draw")
# an interaction of two names of three bytes a letter is longer than netCDF takes (256 bytes)
LONG = "".join(["運動", "強度"] * 16)


def effects(kind: str = "kind", weeks: str = "weeks") -> bm.Effects:
    study = [f"trial {i}" for i in range(6)]
    study[0] = "HIIT/MICT 2020"
    moderators = {kind: list("abacbc"), weeks: [6.0, 12, 8, 24, 10, 9]}
    return bm.Effects(
        study,
        [-0.9, -0.2, -0.5, 0.1, -0.35, -0.6],
        [0.3, 0.2, 0.25, 0.4, 0.15, 0.3],
        measure="SMD",
        moderators=moderators,
    )


def moderated(kind: str = "kind", weeks: str = "weeks") -> bm.Fit:
    beta = {kind: bm.Coefficient(bm.Normal(0, 0.5)), weeks: bm.Coefficient(bm.Normal(0, 0.25))}
    beta[f"{kind}:{weeks}"] = bm.Coefficient(bm.Normal(0, 0.25))
    return bm.fit(effects(kind, weeks), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), beta))


@cache
def fit(name: str) -> bm.Fit:
    if name == "common effect":
        # no SD: two dimensions without length
        return bm.fit(effects(), bm.Model(bm.Flat(), None))
    return moderated() if name == "moderated" else moderated("HR/QoL", LONG)


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
    return xr.DataTree.from_dict({"/": root, "/inner": inner, "/inner/deep": inherits, "/void": None})


def attributes(holder: Any) -> dict[str, Any]:
    """To netCDF a number is a sequence of one; what has no value equals itself."""
    return {key: repr(np.atleast_1d(value).tolist()) for key, value in holder.attrs.items()}


TREES = {name: lambda name=name: fit(name).tree for name in ("moderated", "common effect", "names")}
TREES["everything"] = everything


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
@pytest.mark.parametrize("name", TREES)
def test_a_file_reads_back_as_the_tree(name: str, engine: Any, tmp_path: Path) -> None:
    tree = TREES[name]()
    read = xr.load_datatree(write_tree(tree, tmp_path / "tree.nc"), engine=engine)
    assert read.equals(tree)
    assert list(read.children) == list(tree.children)
    for node, again in zip(tree.subtree, read.subtree, strict=True):
        found, expected = again.to_dataset(inherit=False), node.to_dataset(inherit=False)
        assert list(found.coords) == list(expected.coords)
        assert attributes(found) == attributes(expected)
        for key, variable in expected.variables.items():
            assert attributes(found[key]) == attributes(variable)
            assert found[key].dtype.kind in (variable.dtype.kind, "O"), key
            # text of a fixed width is stored as text of any
            assert found[key].dtype.kind != "O" or variable.dtype.kind in "OUT", key


@pytest.mark.parametrize("name", TREES)
def test_the_netcdf_library_reads_and_extends_a_file(name: str, tmp_path: Path) -> None:
    tree = TREES[name]()
    path = write_tree(tree, tmp_path / "tree.nc")
    with netCDF4.Dataset(path) as file:
        assert file.data_model == "NETCDF4"
        for node in tree.subtree:
            group = file if node.path == "/" else file[node.path]
            for key, variable in node.to_dataset(inherit=False).variables.items():
                stored = group.variables[str(key)]
                assert stored.dimensions == variable.dims
                values = np.ma.filled(stored[...], np.nan) if variable.dtype.kind == "f" else stored[...]
                np.testing.assert_array_equal(values, variable.values)
    with netCDF4.Dataset(path, "a") as file:
        file.setncattr("comment", "added")
    assert xr.load_datatree(path, engine="h5netcdf").attrs["comment"] == "added"


@pytest.mark.parametrize("name", ["moderated", "names"])
def test_arviz_reads_a_saved_fit(name: str, tmp_path: Path) -> None:
    read = az.from_netcdf(fit(name).save(tmp_path / "fit.nc"))
    expected = az.summary(fit(name).tree, var_names=["mu", "tau", "beta"], round_to="none")
    assert az.summary(read, var_names=["mu", "tau", "beta"], round_to="none").equals(expected)
    # sensitivity to one prior at a time goes by variables of this group
    variables = {values.attrs["prior"]: str(key) for key, values in read["log_prior"].data_vars.items()}
    assert list(variables) == ["mu", *(f"beta[{key}]" for key in fit(name).model.beta), "tau"]
    for variable in variables.values():
        found = az.psense(read, var_names=["mu"], group="prior", group_var_names=[variable])
        assert 0 <= float(found["mu"]) < 1


def test_names_with_a_slash_change_no_answer(tmp_path: Path) -> None:
    """A fit whose moderators have other names, saved and read, answers alike."""
    loaded = bm.load(fit("names").save(tmp_path / "fit.nc"))
    assert loaded.model == fit("names").model
    for table in (bm.contrast_table, bm.power_scaling_table, bm.study_table):
        plain, slashed = table(fit("moderated")), table(loaded)
        assert plain.replace({"kind": "HR/QoL"}).shape == slashed.shape
        for column in plain.select_dtypes("number"):
            np.testing.assert_array_equal(slashed[column], plain[column])
    components = set(bm.power_scaling_table(loaded, exact=False)["component"])
    assert components == {"mu", "tau", "likelihood", "beta[HR/QoL]", f"beta[{LONG}]", f"beta[HR/QoL:{LONG}]"}


def test_names_that_would_become_one_stay_two(tmp_path: Path) -> None:
    first, second = moderated("a/b", "a_b"), moderated()
    read = bm.load(first.save(tmp_path / "fit.nc"))
    found = {values.attrs["prior"]: values.values for values in read.tree["log_prior"].data_vars.values()}
    assert list(found) == ["mu", "beta[a/b]", "beta[a_b]", "beta[a/b:a_b]", "tau"]
    for name, plain in {"beta[a/b]": "beta[kind]", "beta[a_b]": "beta[weeks]"}.items():
        np.testing.assert_array_equal(found[name], second.tree["log_prior"][plain].values)


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_tree(everything(), tmp_path / f"{name}.nc").read_bytes() for name in "ab")
    assert first == second


def test_files_are_made_and_read_in_several_threads_at_once(tmp_path: Path) -> None:
    """The netCDF library alone would end the process."""
    tree = everything()
    expected = write_tree(tree, tmp_path / "one.nc").read_bytes()

    def both(number: int) -> bytes:
        path = write_tree(everything(), tmp_path / f"{number}.nc")
        assert read_tree(path).identical(tree)
        return path.read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(both, range(20))) == {expected}
