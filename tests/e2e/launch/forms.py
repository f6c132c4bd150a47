"""Every form of docs/data.md's table, written small with h5py: the same numbers stored in another way, or not readable at
all. A form is a function of the folder that it writes below; the file with the samples is one.hdf5."""
import ctypes
import glob
import os
import pathlib

import h5py
import numpy
from h5py import h5d, h5f, h5p, h5s, h5t, h5z

SAMPLES, EXTENT = 4, 32
X_SHAPE = (SAMPLES, EXTENT, EXTENT, EXTENT, 4)
CHUNK = (1, 16, EXTENT, EXTENT, 4)
ODD_CHUNK = (3, 24, 24, 24, 4)
_random = numpy.random.default_rng(5)
X = _random.poisson(3.0, X_SHAPE).astype("<i2")
X[:, 0] = 0  # so that chunks may be left out
Y = _random.uniform(-1, 1, (SAMPLES, 4)).astype("<f4")
FORMS = {}
_library = ctypes.CDLL(glob.glob(os.path.dirname(h5py.__file__) + "/../h5py.libs/libhdf5-*.so*")[0])


def form(function):
    FORMS[function.__name__] = function
    return function


def create(file, name, values, *, type=None, chunk=None, shape=None, maximum=None, prepare=None, write=True):
    """A dataset with properties that h5py's own calls do not know. `prepare` sets them."""
    properties = h5p.create(h5p.DATASET_CREATE)
    if chunk:
        properties.set_chunk(chunk)
    if prepare:
        prepare(properties)
    shape = values.shape if shape is None else shape
    space = h5s.create_simple(shape, maximum or shape)
    dataset = h5d.create(file.id, name.encode(), type or h5t.py_create(values.dtype), space, properties)
    if write:
        dataset.write(h5s.ALL, h5s.ALL, numpy.ascontiguousarray(values))
    return dataset


def with_x(folder, *, y=Y, mode=None, **how):
    """one.hdf5 with plain targets and inputs that `create` makes."""
    with h5py.File(folder / "one.hdf5", "w", **(mode or {})) as file:
        file["y"] = y
        return create(file, "x", X, **how) and None


def plain(path, **members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in members.items():
            file[name] = values


def filters(*names):
    def prepare(properties):
        for name in names:
            {"shuffle": properties.set_shuffle, "gzip": lambda: properties.set_deflate(4),
             "fletcher32": properties.set_fletcher32,
             "nbit": lambda: properties.set_filter(h5z.FILTER_NBIT, 0),
             "scaleoffset": lambda: properties.set_scaleoffset(2, 0)}[name]()
    return prepare


def precision(base, bits, offset=0):
    type = base.copy()
    type.set_precision(bits)
    type.set_offset(offset)
    return type


@form
def contiguous(folder):
    plain(folder / "one.hdf5", x=X, y=Y)


@form
def big_endian(folder):
    plain(folder / "one.hdf5", x=X.astype(">i2"), y=Y.astype(">f4"))


@form
def double_targets(folder):
    plain(folder / "one.hdf5", x=X, y=Y.astype("<f8"))


@form
def user_block_contiguous(folder):
    with_x(folder, mode={"userblock_size": 512})


@form
def user_block_chunks(folder):
    with_x(folder, mode={"userblock_size": 512}, chunk=CHUNK, prepare=filters("gzip"))


@form
def superblock_2(folder):
    with_x(folder, mode={"libver": ("v108", "v108")}, chunk=CHUNK, prepare=filters("shuffle", "gzip"))


NEW = {"libver": ("v110", "v110")}


@form
def superblock_3(folder):
    with_x(folder, mode=NEW)


@form
def paged(folder):
    with_x(folder, mode={"fs_strategy": "page", "fs_persist": True, "fs_page_size": 4096}, chunk=CHUNK)


@form
def early_allocation(folder):
    with_x(folder, prepare=lambda properties: properties.set_alloc_time(h5d.ALLOC_TIME_EARLY))


@form
def chunks_plain(folder):
    with_x(folder, chunk=CHUNK)


@form
def chunks_gzip(folder):
    with_x(folder, chunk=CHUNK, prepare=filters("gzip"))


@form
def chunks_shuffle(folder):
    with_x(folder, chunk=CHUNK, prepare=filters("shuffle"))


@form
def chunks_shuffle_gzip(folder):
    with_x(folder, chunk=ODD_CHUNK, prepare=filters("shuffle", "gzip"))


@form
def chunks_btree_2(folder):
    with_x(folder, mode=NEW, chunk=ODD_CHUNK, prepare=filters("gzip"), maximum=(h5s.UNLIMITED, h5s.UNLIMITED, 32, 32, 4))


@form
def chunks_extensible(folder):
    with_x(folder, mode=NEW, chunk=CHUNK, prepare=filters("gzip"), maximum=(h5s.UNLIMITED, 32, 32, 32, 4))


@form
def chunks_extensible_inside(folder):
    """The axis that can grow is not the first: the file keeps the array's axes in another order than the dataset's."""
    with_x(folder, mode=NEW, chunk=(1, 8, 8, 32, 4), maximum=(X_SHAPE[0], h5s.UNLIMITED, 32, 32, 4))


@form
def chunks_fixed(folder):
    with_x(folder, mode=NEW, chunk=ODD_CHUNK, prepare=filters("shuffle", "gzip"))


@form
def chunks_single(folder):
    with_x(folder, mode=NEW, chunk=X_SHAPE, prepare=filters("shuffle", "gzip"))


@form
def chunks_implicit(folder):
    with_x(folder, mode=NEW, chunk=ODD_CHUNK, prepare=lambda properties: properties.set_alloc_time(h5d.ALLOC_TIME_EARLY))


@form
def chunk_larger(folder):
    with_x(folder, chunk=(8, 40, 32, 32, 4), prepare=filters("shuffle", "gzip"), maximum=(8, 40, 32, 32, 4))


def without_first_planes(folder, *, chunk=(1, 1, 32, 32, 4), prepare=None, wrong=False):
    """All chunks but those of the first plane of each sample, which is zero."""
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["y"] = Y
        create(file, "x", X, chunk=chunk, prepare=prepare, write=False)
        file["x"][:, 1:] = X[:, 1:]


@form
def chunks_left_out(folder):
    without_first_planes(folder)


def fill(value=None, never=False):
    def prepare(properties):
        properties.set_deflate(4)
        if never:
            properties.set_fill_time(h5d.FILL_TIME_NEVER)
        elif value is None:
            assert _library.H5Pset_fill_value(ctypes.c_int64(properties.id), ctypes.c_int64(h5t.STD_I16LE.id), None) >= 0
        else:
            properties.set_fill_value(numpy.array(value, "<i2"))
    return prepare


@form
def fill_value(folder):
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["y"] = Y
        create(file, "x", X, chunk=(1, 1, 32, 32, 4), prepare=fill(3), write=False)
        file["x"][...] = X


@form
def fill_undefined(folder):
    without_first_planes(folder, prepare=fill())


@form
def fill_never(folder):
    without_first_planes(folder, prepare=fill(never=True))


@form
def fill_never_all_written(folder):
    with_x(folder, chunk=CHUNK, prepare=fill(never=True))


@form
def never_written(folder):
    """Targets of zeros: the only form whose numbers are others, see ZEROS."""
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["x"] = X
        create(file, "y", Y, write=False)


@form
def never_written_undefined(folder):
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["x"] = X
        create(file, "y", Y, write=False, prepare=lambda properties: properties.set_fill_time(h5d.FILL_TIME_NEVER))


@form
def chunk_mask(folder):
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["y"] = Y
        dataset = create(file, "x", X, chunk=CHUNK, prepare=filters("shuffle", "gzip"))
        dataset.write_direct_chunk((1, 16, 0, 0, 0), X[1:2, 16:].tobytes(), filter_mask=3)


@form
def soft_link(folder):
    plain(folder / "one.hdf5", **{"data/inputs": X, "y": Y})
    with h5py.File(folder / "one.hdf5", "a") as file:
        file["x"] = h5py.SoftLink("/data/inputs")


@form
def grown(folder):
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["y"] = Y
        dataset = file.create_dataset("x", data=X, chunks=CHUNK, maxshape=(None, 32, 32, 32, 4), compression="gzip")
        dataset.resize(2, 0)
        dataset.resize(SAMPLES, 0)
        dataset[2:] = X[2:]


def partial(*names):
    def prepare(properties):
        filters(*names)(properties)
        assert _library.H5Pset_chunk_opts(ctypes.c_int64(properties.id), ctypes.c_uint(2)) == 0
    return prepare


@form
def partial_shuffle(folder):
    with_x(folder, mode=NEW, chunk=ODD_CHUNK, prepare=partial("shuffle"))


@form
def partial_gzip(folder):
    with_x(folder, mode=NEW, chunk=ODD_CHUNK, prepare=partial("shuffle", "gzip"))


@form
def chunks_checksum(folder):
    with_x(folder, chunk=CHUNK, prepare=filters("fletcher32"))


@form
def chunks_scaleoffset(folder):
    with_x(folder, chunk=CHUNK, prepare=filters("scaleoffset"))


@form
def chunks_nbit(folder):
    with_x(folder, chunk=CHUNK, prepare=filters("nbit"))


@form
def gzip_twice(folder):
    with_x(folder, chunk=CHUNK, prepare=filters("gzip", "gzip"))


@form
def shuffle_twice(folder):
    with_x(folder, chunk=CHUNK, prepare=filters("shuffle", "shuffle"))


@form
def gzip_before_shuffle(folder):
    with_x(folder, chunk=CHUNK, prepare=filters("gzip", "shuffle"))


@form
def nbit_12(folder):
    with_x(folder, chunk=CHUNK, prepare=filters("nbit"), type=precision(h5t.STD_I16LE, 12))


@form
def nbit_12_offset(folder):
    with_x(folder, chunk=CHUNK, prepare=filters("nbit"), type=precision(h5t.STD_I16LE, 12, 3))


@form
def uint16_of_12(folder):
    with_x(folder, type=precision(h5t.STD_U16LE, 12))


@form
def compact(folder):
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["x"] = X
        create(file, "y", Y, prepare=lambda properties: properties.set_layout(h5d.COMPACT))


@form
def many_chunks(folder):
    with_x(folder, chunk=(1, 4, 2, 1, 4))


def typed(values, y=Y):
    return lambda folder: plain(folder / "one.hdf5", x=values, y=y)


FORMS["uint16"] = typed(X.astype("<u2"))
FORMS["int32"] = typed(X.astype("<i4"))
FORMS["uint8"] = typed(X.astype("u1"))
FORMS["float_inputs"] = typed(X.astype("<f4"))
FORMS["half_targets"] = typed(X, Y.astype("<f2"))
FORMS["text_targets"] = typed(X, numpy.full((SAMPLES, 4), b"0.5", "S3"))
FORMS["compound"] = typed(numpy.zeros(X_SHAPE, [("a", "<i2"), ("b", "<i2")]))


@form
def int32_of_24(folder):
    with_x(folder, chunk=CHUNK, prepare=filters("nbit"), type=precision(h5t.STD_I32LE, 24))


@form
def enumeration(folder):
    type = h5t.enum_create(h5t.STD_I16LE)
    type.enum_insert(b"few", 1)
    with_x(folder, type=type, write=False)


@form
def bitfield(folder):
    with_x(folder, type=h5t.STD_B16LE, write=False)


@form
def array_elements(folder):
    with_x(folder, type=h5t.array_create(h5t.STD_I16LE, (4,)), write=False)


@form
def null_space(folder):
    plain(folder / "one.hdf5", x=h5py.Empty("<i2"), y=Y)


@form
def scalar(folder):
    plain(folder / "one.hdf5", x=numpy.int16(3), y=Y)


@form
def unknown_filter(folder):
    """As a dataset that came from elsewhere: the filter's number is changed in the file."""
    with_x(folder, chunk=CHUNK, prepare=filters("fletcher32"))
    path = folder / "one.hdf5"
    data = path.read_bytes()
    at = data.find(b"fletcher32") - 8  # the filter's number, lengths and flags stand before its name
    assert at > 0
    path.write_bytes(data[:at] + (32003).to_bytes(2, "little") + data[at + 2:])


@form
def group(folder):
    plain(folder / "one.hdf5", **{"x/inner": X, "y": Y})


@form
def newer_layout(folder):
    """What HDF5 2.0 writes with libver='latest': version 5 of the layout message."""
    with h5py.File(folder / "one.hdf5", "w", libver="latest") as file:
        file["y"] = Y
        file.create_dataset("x", data=X, chunks=CHUNK, compression="gzip")


@form
def cut_short(folder):
    contiguous(folder)
    os.truncate(folder / "one.hdf5", (folder / "one.hdf5").stat().st_size - 100)


@form
def open_for_writing(folder):
    """Superblocks of version 3 have a mark for it, in a byte behind the sizes; its checksum follows."""
    with_x(folder, mode=NEW)
    with h5py.File(folder / "one.hdf5", "r+", libver=("v110", "v110")) as file:
        file.flush()
        data = (folder / "one.hdf5").read_bytes()
    (folder / "one.hdf5").write_bytes(data)


@form
def family_part(folder):
    with h5py.File(folder / "part-%d.h5", "w", driver="family", memb_size=1 << 20) as file:
        file["x"], file["y"] = X, Y
    os.rename(folder / "part-0.h5", folder / "one.hdf5")
    for path in folder.glob("part-*"):
        path.unlink()


@form
def multi_part(folder):
    with h5py.File(folder / "two", "w", driver="split") as file:
        file["x"], file["y"] = X, Y
    os.rename(folder / "two-m.h5", folder / "one.hdf5")
    (folder / "two-r.h5").unlink()


@form
def empty_file(folder):
    (folder / "one.hdf5").touch()


def write(name, folder) -> pathlib.Path:
    """Writes a form below `folder`; returns the folder of the samples, which are in one.hdf5."""
    folder.mkdir(parents=True)
    FORMS[name](folder)
    return folder
