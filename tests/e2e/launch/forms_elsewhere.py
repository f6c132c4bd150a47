"""The forms of docs/data.md's table whose values lie in other files or behind links: external links, virtual datasets, raw
files, and those that lead nowhere. Importing this adds them to forms.FORMS."""
import os

import h5py
from h5py import h5d, h5p, h5s, h5t

from forms import SAMPLES, X, X_SHAPE, Y, create, form, plain


@form
def external_link(folder):
    plain(folder / "store" / "inputs.part", x=X)
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["x"], file["y"] = h5py.ExternalLink("store/inputs.part", "/x"), Y


@form
def external_link_through_soft(folder):
    plain(folder / "store" / "inputs.part", x=X)
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["elsewhere"], file["x"], file["y"] = h5py.ExternalLink("store/inputs.part", "/x"), h5py.SoftLink("/elsewhere"), Y


@form
def external_group(folder):
    plain(folder / "store" / "inputs.part", **{"inner/x": X})
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["data"], file["x"], file["y"] = h5py.ExternalLink("store/inputs.part", "/inner"), h5py.SoftLink("/data/x"), Y


@form
def external_link_chain(folder):
    plain(folder / "store" / "inputs.part", x=X)
    with h5py.File(folder / "store" / "index.part", "w") as file:
        file["x"] = h5py.ExternalLink("inputs.part", "/x")
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["x"], file["y"] = h5py.ExternalLink("store/index.part", "/x"), Y


def make_virtual(path, sources, mode="w", **members):
    """x of the first half of one source and the second half of another."""
    with h5py.File(path, mode) as file:
        layout = h5py.VirtualLayout(X_SHAPE, X.dtype)
        for at, (name, inside, shape) in zip((slice(0, 2), slice(2, 4)), sources):
            layout[at] = h5py.VirtualSource(name, inside, shape)
        file.create_virtual_dataset("x", layout)
        for name, values in members.items():
            file[name] = values


HALF = (2, *X_SHAPE[1:])


@form
def virtual_here(folder):
    plain(folder / "one.hdf5", **{"parts/a": X[:2], "parts/b": X[2:], "y": Y})
    make_virtual(folder / "one.hdf5", [(".", "parts/a", HALF), (".", "parts/b", HALF)], mode="a")


def mapped(path, sources, prepare=lambda properties: None, type=h5t.STD_I16LE):
    """x of all of each source, one after the other; sources are (file, dataset, samples)."""
    properties = h5p.create(h5p.DATASET_CREATE)
    prepare(properties)
    with h5py.File(path, "a") as file:
        space, begin = h5s.create_simple(X_SHAPE), 0
        for name, inside, samples in sources:
            part = (samples, *X_SHAPE[1:])
            space.select_hyperslab((begin, 0, 0, 0, 0), part)
            properties.set_virtual(space, name, inside, h5s.create_simple(part))
            begin += samples
        h5d.create(file.id, b"x", type, h5s.create_simple(X_SHAPE), properties)


@form
def virtual_named_here(folder):
    """The library opens the file once more, as it opens any source."""
    plain(folder / "one.hdf5", **{"parts/a": X[:2], "parts/b": X[2:], "y": Y})
    mapped(folder / "one.hdf5", [(b"one.hdf5", b"parts/a", 2), (b"one.hdf5", b"parts/b", 2)])


@form
def virtual_leads_back(folder):
    plain(folder / "one.hdf5", **{"parts/a": X, "y": Y})
    virtual_of_one(folder / "store.part", "one.hdf5", "parts/a")
    mapped(folder / "one.hdf5", [(b"store.part", b"x", SAMPLES)])


def never(properties):
    properties.set_fill_time(h5d.FILL_TIME_NEVER)


@form
def virtual_of_never_written(folder):
    halves(folder)
    with h5py.File(folder / "store" / "b.part", "w") as file:
        create(file, "x", X[2:], write=False, prepare=never)
    make_virtual(folder / "one.hdf5", [("store/a.part", "x", HALF), ("store/b.part", "x", HALF)], y=Y)


@form
def virtual_in_part(folder):
    halves(folder)
    plain(folder / "one.hdf5", y=Y)
    mapped(folder / "one.hdf5", [(b"store/a.part", b"x", 2)], never)


@form
def virtual_of_wider(folder):
    wide = X.astype("<i4")
    wide[-1, -1] = 65539
    plain(folder / "store" / "wide.part", x=wide)
    plain(folder / "one.hdf5", y=Y)
    mapped(folder / "one.hdf5", [(b"store/wide.part", b"x", SAMPLES)])


def halves(folder):
    plain(folder / "store" / "a.part", x=X[:2])
    plain(folder / "store" / "b.part", x=X[2:])


@form
def virtual(folder):
    halves(folder)
    make_virtual(folder / "one.hdf5", [("store/a.part", "x", HALF), ("store/b.part", "x", HALF)], y=Y)


def virtual_of_one(path, source, inside="x", **members):
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout(X_SHAPE, X.dtype)
        layout[:] = h5py.VirtualSource(source, inside, X_SHAPE)
        file.create_virtual_dataset("x", layout)
        for name, values in members.items():
            file[name] = values


@form
def virtual_of_virtual(folder):
    halves(folder)
    make_virtual(folder / "store" / "middle.part", [("a.part", "x", HALF), ("b.part", "x", HALF)])
    virtual_of_one(folder / "one.hdf5", "store/middle.part", y=Y)


@form
def virtual_behind_link(folder):
    halves(folder)
    make_virtual(folder / "store" / "middle.part", [("a.part", "x", HALF), ("b.part", "x", HALF)])
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["x"], file["y"] = h5py.ExternalLink("store/middle.part", "/x"), Y


@form
def virtual_without_source(folder):
    halves(folder)
    make_virtual(folder / "one.hdf5", [("store/a.part", "x", HALF), ("store/absent.part", "x", HALF)], y=Y)


@form
def virtual_of_smaller(folder):
    halves(folder)
    plain(folder / "store" / "b.part", x=X[2:3])
    make_virtual(folder / "one.hdf5", [("store/a.part", "x", HALF), ("store/b.part", "x", HALF)], y=Y)


@form
def virtual_of_broken_virtual(folder):
    halves(folder)
    make_virtual(folder / "store" / "middle.part", [("a.part", "x", HALF), ("absent.part", "x", HALF)])
    virtual_of_one(folder / "one.hdf5", "store/middle.part", y=Y)


@form
def virtual_circle(folder):
    (folder / "store").mkdir()
    virtual_of_one(folder / "store" / "other.part", "../one.hdf5")
    virtual_of_one(folder / "one.hdf5", "store/other.part", y=Y)


@form
def virtual_numbered(folder):
    for number in range(SAMPLES):
        plain(folder / "store" / f"part-{number}.part", x=X[number:number + 1])
    properties = h5p.create(h5p.DATASET_CREATE)
    one = (1, *X_SHAPE[1:])
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["y"] = Y
        space = h5s.create_simple(X_SHAPE, (h5s.UNLIMITED, *X_SHAPE[1:]))
        space.select_hyperslab((0,) * 5, (h5s.UNLIMITED, 1, 1, 1, 1), stride=one, block=one)
        properties.set_virtual(space, b"store/part-%b.part", b"x", h5s.create_simple(one))
        space.select_all()
        h5d.create(file.id, b"x", h5t.STD_I16LE, h5s.create_simple(X_SHAPE, (h5s.UNLIMITED, *X_SHAPE[1:])), properties)


def raw(folder, keep):
    path = folder / "inputs.raw"
    with h5py.File(folder / "one.hdf5", "w") as file:
        half = X.nbytes // 2
        dataset = file.create_dataset("x", X_SHAPE, X.dtype, external=[(str(path), 100, half), (str(path), 100 + half, half)])
        dataset[...], file["y"] = X, Y
    os.truncate(path, keep if keep is not None else path.stat().st_size)
    return path


@form
def raw_files(folder):
    raw(folder, None)


@form
def raw_file_missing(folder):
    raw(folder, None).unlink()


@form
def raw_file_short(folder):
    raw(folder, X.nbytes)


@form
def soft_link_to_nothing(folder):
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["x"], file["y"] = h5py.SoftLink("/nothing"), Y


@form
def external_link_to_no_file(folder):
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["x"], file["y"] = X, h5py.ExternalLink("store/labels.part", "/y")


@form
def external_link_circle(folder):
    (folder / "store").mkdir()
    for path, other in (("one.hdf5", "store/other.part"), ("store/other.part", "../one.hdf5")):
        with h5py.File(folder / path, "w") as file:
            file["x"], file["y"] = h5py.ExternalLink(other, "/x"), Y


@form
def external_link_to_no_dataset(folder):
    plain(folder / "store" / "labels.part", z=Y)
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["x"], file["y"] = X, h5py.ExternalLink("store/labels.part", "/y")
