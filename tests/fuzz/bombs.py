"""Open one bomb after the other with little memory to spare, and print what became of each as JSON; run by `test_bombs.py` in a process of its own."""

import bz2
import gzip
import io
import json
import pickle
import resource
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fuzz_targets import FITS_SPEC, JPEG_SPEC, card, hdf5_seeds, picture_seeds

from tuningfork.archives.cutouts import read_cutout
from tuningfork.archives.datalab import read_piece
from tuningfork.archives.sparse import present_in
from tuningfork.archives.votable import read_tables
from tuningfork.catalogues.galaxy10 import read_coordinates, read_images
from tuningfork.catalogues.image_labels import read_csv
from tuningfork.catalogues.table_files import read_table
from tuningfork.errors import TuningforkError
from tuningfork.stamps.mosaic import Mosaic
from tuningfork.stamps.pictures import import_pictures

SPARE_BYTES = 600 * 2**20
GIGABYTE = 2**30


def zeros_by(compress: Callable[[bytes], bytes]) -> bytes:
    """A gigabyte of zeros behind the first block of a FITS file: streams may follow each other in one file."""
    head = (card("SIMPLE  =                    T") + card("BITPIX  =                    8") + card("NAXIS   =                    0")).ljust(2880)
    return compress(head) + compress(bytes(2**24)) * (GIGABYTE // 2**24)


def fits_of(*axes: int, bitpix: int = -32, **more: int) -> bytes:
    cards = {"BITPIX": bitpix, "NAXIS": len(axes), **{f"NAXIS{i + 1}": n for i, n in enumerate(axes)}, **more}
    text = card("SIMPLE  =                    T") + b"".join(card(f"{key:<8}= {value:>20}") for key, value in cards.items()) + card("END")
    return text.ljust(2880) + bytes(2880)


def table_of(rows: int) -> bytes:
    cards = {"BITPIX": 8, "NAXIS": 2, "NAXIS1": 8, "NAXIS2": rows, "PCOUNT": 0, "GCOUNT": 1, "TFIELDS": 1}
    text = (
        card("XTENSION= 'BINTABLE'") + b"".join(card(f"{key:<8}= {value:>20}") for key, value in cards.items()) + card("TTYPE1  = 'x'") + card("TFORM1  = 'D'")
    )
    return fits_of(bitpix=8)[:2880] + (text + card("END")).ljust(2880) + bytes(2880)


def png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(9999)))
        + chunk(b"IEND", b"")
    )


def jpeg(side: int) -> bytes:
    body = bytearray(picture_seeds()[0])
    at = body.index(b"\xff\xc0")
    body[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(body)


def votable(field: str = 'datatype="int"', table: str = "", data: str = "<TABLEDATA><TR><TD>1</TD></TR></TABLEDATA>", doctype: str = "") -> bytes:
    inside = f'<TABLE {table}><FIELD name="a" {field}/><DATA>{data}</DATA></TABLE>'
    return f'{doctype}<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>{inside}</RESOURCE></VOTABLE>'.encode()


def hdf5(change: Callable[[h5py.File], None]) -> bytes:
    out = io.BytesIO(hdf5_seeds()[0])
    with h5py.File(out, "a") as file:
        change(file)
    return out.getvalue()


def replaced(name: str, **made: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **made)

    return change


def linked(file: h5py.File) -> None:
    del file["ra"]
    file["ra"] = h5py.ExternalLink("/etc/hostname", "/ra")


def external(file: h5py.File) -> None:
    del file["ra"]
    file.create_dataset("ra", (2,), "f8", external=[("/etc/hostname", 0, 16)])


class Evil:
    """What would run code if a pickle of it were opened."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, ("pickled-code-ran", "w"))  # type: ignore[return-value]


def npy_of_objects() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([Evil()], dtype=object), allow_pickle=True)
    return out.getvalue()


def npy_of(rows: int) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<i8", "fortran_order": False, "shape": (rows, 2)})
    return out.getvalue()


def parquet(rows: int) -> bytes:
    out = io.BytesIO()
    part = pa.table({f"c{i}": pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**6, np.int8)), pa.array([1.0])) for i in range(4)})
    with pq.ParquetWriter(out, part.schema) as writer:
        for _ in range(rows // 10**6):
            writer.write_table(part)
    return out.getvalue()


def pictures(path: Path) -> object:
    shard = import_pictures([path], ["a"], channels=3 if path.suffix in (".png", ".jpg") else 1, pixels=8)
    if shard.status[0] != "ok":
        raise TuningforkError(str(shard.reason[0]))
    return shard


def listed(path: Path) -> object:
    return present_in(path.with_name("m.sparse.fits"))


BOMBS: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], object]]] = {
    "gzipped stamp": ("a.fits.gz", lambda: zeros_by(lambda b: gzip.compress(b, 1)), pictures),
    "gzipped stamp by another name": ("a.fits", lambda: zeros_by(lambda b: gzip.compress(b, 1)), pictures),
    "bzipped stamp": ("a.fits", lambda: bz2.compress(bytes(2**20)), pictures),
    "zipped stamp": ("a.fits", lambda: b"PK\x03\x04" + bytes(99), pictures),
    "xz stamp": ("a.fits", lambda: b"\xfd7zXZ\0" + bytes(99), pictures),
    "gzipped mosaic": ("m.fits.gz", lambda: zeros_by(lambda b: gzip.compress(b, 1)), Mosaic),
    "gzipped table": ("t.fits.gz", lambda: zeros_by(lambda b: gzip.compress(b, 1)), lambda p: read_table(p, "fits")),
    "gzipped piece of a brick": ("p.fits", lambda: zeros_by(lambda b: gzip.compress(b, 1)), read_piece),
    "gzipped VOTable": ("t.vot", lambda: gzip.compress(b"<VOTABLE>") + gzip.compress(bytes(2**24)) * 64, read_tables),
    "FITS stamp of terabytes": ("a.fits", lambda: fits_of(10**6, 10**7), pictures),
    "FITS cutout of terabytes": ("c.fits", lambda: fits_of(10**6, 10**7), lambda p: read_cutout(p, FITS_SPEC, 1.0)),
    "FITS cutout that takes its terabytes back": ("c.fits", lambda: fits_of(10**6, 10**7, PCOUNT=720 - 10**13), lambda p: read_cutout(p, FITS_SPEC, 1.0)),
    "FITS cutout of no groups": ("c.fits", lambda: fits_of(10**6, 10**7, GCOUNT=0), lambda p: read_cutout(p, FITS_SPEC, 1.0)),
    "FITS piece of terabytes": ("p.fits", lambda: fits_of(10**6, 10**7), read_piece),
    "FITS mosaic of terabytes": ("m.fits", lambda: fits_of(10**6, 10**7), Mosaic),
    "FITS of 999 axes": ("m.fits", lambda: fits_of(*[2] * 999), Mosaic),
    "FITS table of terabytes": ("t.fits", lambda: table_of(10**12), lambda p: read_table(p, "fits")),
    "PNG of gigapixels": ("a.png", lambda: png(60000), pictures),
    "JPEG of gigapixels": ("a.jpg", lambda: jpeg(60000), pictures),
    "JPEG cutout of gigapixels": ("c.jpg", lambda: jpeg(60000), lambda p: read_cutout(p, JPEG_SPEC, 0.4)),
    "JPEG cutout of a hundred megapixels": ("c.jpg", lambda: jpeg(10000), lambda p: read_cutout(p, JPEG_SPEC, 0.4)),
    "VOTable of many rows": ("t.vot", lambda: votable(table='nrows="99999999999"'), read_tables),
    "VOTable of wide rows": ("t.vot", lambda: votable('datatype="double" arraysize="100000x100000"'), read_tables),
    "VOTable of deep elements": ("t.vot", lambda: b"<VOTABLE>" + b"<RESOURCE>" * 50000 + b"</RESOURCE>" * 50000 + b"</VOTABLE>", read_tables),
    "VOTable with a file of this machine": (
        "t.vot", lambda: votable('datatype="unsignedByte"', data='<BINARY><STREAM href="file:///etc/hostname"/></BINARY>'), read_tables,
    ),
    "VOTable with a FITS file of this machine": ("t.vot", lambda: votable(data='<FITS><STREAM href="file:///etc/hostname"/></FITS>'), read_tables),
    "VOTable with entities": (
        "t.vot", lambda: votable(doctype='<!DOCTYPE v [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'), read_tables,
    ),
    "HDF5 of terabytes": ("g.h5", lambda: hdf5(replaced("ra", shape=(10**12,), dtype="f8", chunks=(1000,))), read_coordinates),
    "HDF5 of chunks of gigabytes": (
        "g.h5", lambda: hdf5(replaced("images", shape=(10**6, 256, 256, 3), dtype="u1", chunks=(8000, 256, 256, 3), compression="gzip")),
        lambda p: read_images(p, [0]),
    ),
    "HDF5 that leads elsewhere": ("g.h5", lambda: hdf5(linked), read_coordinates),
    "HDF5 with data elsewhere": ("g.h5", lambda: hdf5(external), read_coordinates),
    "HDF5 with pickles": ("g.h5", lambda: hdf5(replaced("ans", data=[np.void(pickle.dumps(Evil()))] * 2)), read_coordinates),
    "HDF5 with objects": ("g.h5", lambda: hdf5(replaced("ans", data=["a", "b"])), read_coordinates),
    "npy with pickles": ("m.sparse.fits.present.npy", npy_of_objects, listed),
    "npy of terabytes": ("m.sparse.fits.present.npy", lambda: npy_of(10**12), listed),
    "CSV with one long text": ("l.csv", lambda: b"id,x\n" + b"a,1\n" * 200_000 + b"b" * 100_000 + b",2\n", read_csv),
    "Parquet of one value": ("t.parquet", lambda: parquet(60 * 10**6), lambda p: read_table(p, "parquet")),
}  # fmt: skip
"""What it is -> name of the file, its bytes, and who reads it."""


def main(folder: Path) -> None:
    """Light them all: {name: words of the refusal, or what else happened}."""
    bodies = {what: make() for what, (_, make, _) in BOMBS.items()}
    own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (own + SPARE_BYTES, own + SPARE_BYTES))
    told = {}
    for what, (name, _, read) in BOMBS.items():
        path = folder / name
        path.write_bytes(bodies.pop(what))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            told[what] = ["value", str(read(path))[:200]]
        except TuningforkError as error:
            told[what] = ["refused", str(error)]
        except BaseException as error:
            told[what] = [type(error).__name__, str(error)]
        told[what].append((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
        path.unlink()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
