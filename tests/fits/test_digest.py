"""A file that is not what was written makes no fit and says so in one line; one of earlier versions has a note.

Authority: the netCDF library itself (Unidata), which changes each of the arrays and attributes that it finds.
"""

from __future__ import annotations

import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.fits import read_tree
from bayesmeta.fits.digest import tree_digest
from pinned import PINS

NOTE = "this fit has no digest"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _, _, fit = bm.example()
    return fit.save(tmp_path_factory.mktemp("digest") / "fit.nc")


def variables(path: Path) -> list[tuple[str, str]]:
    with netCDF4.Dataset(path) as file:
        return [(group.path, name) for group in file.groups.values() for name in group.variables]


def changed(old: Any) -> Any:
    """The least change of a number, or a letter of a text."""
    if isinstance(old, str):
        return f"{old}x"
    return np.nextafter(old, np.inf) if isinstance(old, np.floating) else old + 1


def refused(path: Path, what: str = "damaged or changed after it was written") -> None:
    with pytest.raises(bm.DataError, match=what) as caught:
        bm.load(path)
    assert "\n" not in str(caught.value)


def test_every_array_is_covered(written: Path, tmp_path: Path) -> None:
    names = variables(written)
    assert len(names) > 40
    for number, (group, name) in enumerate(names):
        path = Path(shutil.copy(written, tmp_path / "fit.nc"))
        with netCDF4.Dataset(path, "a") as file:
            variable = file[group].variables[name]
            if not variable.size:
                continue
            values = np.array(variable[...], object if variable.dtype is str else variable.dtype)
            where = number % values.size
            old = values.flat[where]
            values.flat[where] = changed(old)
            variable[...] = values
        refused(path)


def test_every_attribute_is_covered(written: Path, tmp_path: Path) -> None:
    with netCDF4.Dataset(written) as file:
        names = [("/", name) for name in file.ncattrs()]
        names += [(group.path, name) for group in file.groups.values() for name in group.ncattrs()]
    assert {"digest", "engine", "hashes", "seed", "log_evidence", "error"} <= {name for _, name in names}
    for group, name in names:
        if name == "schema_version":
            continue
        path = Path(shutil.copy(written, tmp_path / "fit.nc"))
        with netCDF4.Dataset(path, "a") as file:
            place = file if group == "/" else file[group]
            old = place.getncattr(name)
            place.setncattr(name, f"{old}x" if isinstance(old, str) else np.asarray(old) + 1)
        refused(path)


@pytest.mark.parametrize("what", ["removed", "added", "renamed"])
def test_so_is_what_a_file_holds_at_all(what: str, written: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(written, tmp_path / "fit.nc"))
    with netCDF4.Dataset(path, "a") as file:
        group = file["quadrature"]
        if what == "removed":
            group.delncattr("error")
        elif what == "added":
            group.createVariable("more", "f8", ("node",))[:] = 1.0
        else:
            group.renameVariable("weight", "weights")
    refused(path)


def test_a_median_does_not_move_unnoticed(written: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(written, tmp_path / "fit.nc"))
    with netCDF4.Dataset(path, "a") as file:
        file["quadrature"].variables["coefficient_mean"][...] += 0.5
    refused(path)


def test_a_file_without_a_digest_is_read_with_a_note(written: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(written, tmp_path / "fit.nc"))
    with netCDF4.Dataset(path, "a") as file:
        file.delncattr("digest")
    with pytest.warns(bm.BayesmetaWarning, match=NOTE):
        loaded = bm.load(path)
    with pytest.warns(bm.BayesmetaWarning, match=NOTE):
        old = bm.load(PINS / "fits" / "exact_pooled.nc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bm.load(written).to_frame().equals(loaded.to_frame())
        # and written again it has one
        assert bm.load(old.save(tmp_path / "again.nc")).to_frame().equals(old.to_frame())


@pytest.mark.parametrize("name", ["exact_moderated", "nuts_joint", "nuts_missing_levels", "exact_common_effect"])
def test_a_tree_and_its_file_have_one_digest(name: str, tmp_path: Path) -> None:
    fit = bm.load(PINS / "fits" / f"{name}.nc")
    path = fit.save(tmp_path / "fit.nc")
    assert read_tree(path).attrs["digest"] == tree_digest(fit.tree) == tree_digest(bm.load(path).tree)


@pytest.mark.parametrize("sealed", [True, False])
def test_other_damage_is_one_error(sealed: bool, written: Path, tmp_path: Path) -> None:
    """Bytes changed (netCDF's library may wait for ever on them) or cut off; without a digest, parts that are gone."""
    whole, rng, path = written.read_bytes(), random.Random(7), tmp_path / "fit.nc"
    names = variables(written)
    for number in range(25):
        if sealed:
            damaged = bytearray(whole)
            if number % 3 == 0:
                del damaged[rng.randrange(len(damaged)) :]
            else:
                for _ in range((1, 40)[number % 2]):
                    damaged[rng.randrange(len(damaged) - 100)] ^= rng.randrange(1, 256)
            path.write_bytes(damaged)
        else:
            shutil.copy(written, path)
            with netCDF4.Dataset(path, "a") as file:
                file.delncattr("digest")
                group, name = names[rng.randrange(len(names))]
                if number % 5 == 0:
                    file.setncattr(
                        ("engine", "seed", "hashes", "analysis")[number // 5 % 4],
                        ("nuts", "x", "[", 3)[number // 5 % 4],
                    )
                else:
                    file[group].renameVariable(name, "other_name")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded = bm.load(path)
        except bm.DataError:
            continue
        assert not sealed
        # nothing was renamed that an answer rests on
        assert np.isfinite(loaded.to_frame().to_numpy()).all()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(bm.DataError, match="not a file"):
        bm.load(tmp_path)
