"""TFRecords and universes of CosmoFlow as others write them: in Python alone, from the formats' descriptions."""
import gzip
import struct

import h5py
import numpy

CASTAGNOLI = 0x82F63B78


def crc32c(data: bytes) -> int:
    """Of the polynomial alone: nothing is shared with the program."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = ROW[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (CASTAGNOLI if byte & 1 else 0)
    return byte


ROW = [row(byte) for byte in range(256)]


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def message(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def bytes_feature(*values: bytes) -> bytes:
    return message(1, b"".join(message(1, value) for value in values))


def float_feature(values, packed=True) -> bytes:
    floats = [struct.pack("<f", value) for value in values]
    return message(2, message(1, b"".join(floats)) if packed else b"".join(varint(1 << 3 | 5) + value for value in floats))


def int_feature(values) -> bytes:
    return message(3, message(1, b"".join(varint(value) for value in values)))


def example(**features: bytes) -> bytes:
    return message(1, b"".join(message(1, message(1, name.encode()) + message(2, feature)) for name, feature in features.items()))


def cosmoflow(counts, parameters, packed=True, **more: bytes) -> bytes:
    """As the reference's script writes a sample."""
    return example(**more, x=bytes_feature(counts.astype("<i2").tobytes()), y=float_feature(parameters, packed))


def sample(number: int, extent=32):
    """Counts and parameters that depend on the number alone."""
    rng = numpy.random.default_rng(number)
    return rng.poisson(rng.gamma(0.3, 3.0, (extent,) * 3 + (4,))).astype("int16"), rng.uniform(-1, 1, 4).astype("float32")


def write_universe(path, counts, parameters, **layout):
    with h5py.File(path, "w") as file:
        file.create_dataset("full", data=counts, **layout)
        file["unitPar"] = parameters
        file["physPar"] = parameters * 3
        file["redshifts"] = numpy.float32([0, 0.5, 1.5, 3])


def write(path, *records: bytes, compressed=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(map(record, records))
    path.write_bytes(gzip.compress(data) if compressed else data)
