"""Readers of what strangers wrote, one target each: bytes go in; a value or an error of this library comes out, and never anything else.

`fuzz.py` drives them with atheris for as long as one likes, `test_readers.py` with hypothesis in every run of the tests, from the same seeds.
"""

import dataclasses
import functools
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from PIL import Image

from tuningfork.archives import checks, multipart, skycsv
from tuningfork.archives.cutouts import CutoutSpec, read_cutout
from tuningfork.archives.download import pause_asked
from tuningfork.archives.votable import read_tables
from tuningfork.catalogues import molino2017
from tuningfork.catalogues.galaxy10 import read_coordinates, read_images
from tuningfork.catalogues.image_labels import read_labels
from tuningfork.catalogues.table_files import read_table
from tuningfork.config import load
from tuningfork.errors import TuningforkError
from tuningfork.publishing.votable import write_votable
from tuningfork.samples.folder import read_folder
from tuningfork.stamps.mosaic import Mosaic
from tuningfork.stamps.pictures import import_pictures
from tuningfork.stamps.store import StampShard, read_shard, write_shard

REPOSITORY = Path(__file__).resolve().parents[2]
FITS_SPEC = CutoutSpec("legacysurvey", "ls-dr9-south", "fits", ("g", "r", "z"), 16)
JPEG_SPEC = CutoutSpec("skyserver", "dr14", "jpeg", ("g", "r", "i"), 64)


@dataclasses.dataclass(frozen=True)
class Target:
    """One reader.

    Attributes
    ----------
    read
        Called with the bytes and a folder of its own.
    seeds
        Gives well-formed inputs.
    tokens
        What a mutation may splice in: the words that the format obeys.
    """

    read: Callable[[bytes, Path], object]
    seeds: Callable[[], list[bytes]]
    tokens: tuple[bytes, ...] = ()


def survives(target: Target, data: bytes, folder: Path) -> str:
    """Read; gives the name of the error of this library, or '' where there was a value. Any other exception goes through."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(data, folder)
    except TuningforkError as error:
        return type(error).__name__
    return ""


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# VOTable


def votable_seeds() -> list[bytes]:
    inline = (
        b'<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE nrows="2"><FIELD name="a" datatype="int"/>'
        b'<FIELD name="b" datatype="char" arraysize="*"/><FIELD name="c" datatype="float" arraysize="2"/><DATA>'
    )
    end = b"</DATA></TABLE></RESOURCE></VOTABLE>"
    rows = b"<TABLEDATA><TR><TD>1</TD><TD>x &amp; y</TD><TD>1 2</TD></TR><TR><TD/><TD/><TD/></TR></TABLEDATA>"
    # One row: int 7, text of length 2, two floats.
    binary = b'<BINARY><STREAM encoding="base64">AAAABwAAAAJoaT+AAABAAAAA</STREAM></BINARY>'
    binary2 = b'<BINARY2><STREAM encoding="base64">AAAAAAcAAAACaGk/gAAAQAAAAA==</STREAM></BINARY2>'
    return [inline + rows + end, inline + binary + end, inline + binary2 + end]


VOTABLE_WORDS = (
    b'<STREAM href="file:///etc/hostname"/>', b'encoding="gzip"', b'href="http://127.0.0.1:9/"', b'nrows="99999999999999"', b'arraysize="9999999999"',
    b"<FITS>", b"<PARQUET>", b"<BINARY>", b"<BINARY2>", b"<DATA>", b"</DATA>", b'ref="a"', b'ID="a"', b'datatype="double"', b'datatype="unicodeChar"',
    b'datatype="bit"', b'datatype="doubleComplex"', b'precision="F99999999"', b'width="-1"', b'<VALUES null="x"/>', b"&#0;", b"&#x1F600;", b"<TR>", b"<TD>",
    b'<TD encoding="base64">', b"<!DOCTYPE x>", b"<![CDATA[", b"<GROUP>", b"<MIVOT>", b'version="1.1"', b'unit="///"', b'utype="x"',
)  # fmt: skip


def read_votable(data: bytes, folder: Path) -> object:
    return read_tables(written(folder, "reply.vot", data))


# SkyServer's CSV, Molino's text, label files


def skyserver_seeds() -> list[bytes]:
    return [
        b"#Table1\nobjid,ra,text\n1237648720693755918,1.5,a\n1,-2e-3,null\n",
        b'#Table1\nname,z\n"a "b", c",1\nplain,2\n',
        b"#Table1\na\n\n\n#Table2\nb\n1\n",
    ]


def read_skyserver(data: bytes, folder: Path) -> object:
    return skycsv.typed(skycsv.read_columns(written(folder, "reply.csv", data)))


@functools.cache
def molino_text() -> bytes:
    from tuningfork.catalogues.columns import BANDS
    from tuningfork.catalogues.molino_columns import SOURCES

    names = [source.mast if isinstance(source.mast, str) else source.mast[0] for source in SOURCES.values()]
    names += [n for mass in (False, True) for band in BANDS for n in molino2017._magnitude_names(band, mass, True)]
    names = ["CLASHID", *dict.fromkeys(name for name in names if name != "CLASHID")]
    rows = [["clash_a209_nir_0001", *["1.5"] * (len(names) - 1)], ["clash_a209_nir_0002", *["99.0"] * (len(names) - 1)]]
    return "\n".join(["## a comment", "# " + " ".join(names), *(" ".join(row) for row in rows), ""]).encode()


def read_molino(data: bytes, folder: Path) -> object:
    return molino2017.standardise(molino2017.read_mast(written(folder, "molino.txt", data)), "molino.txt")


def label_seeds() -> list[bytes]:
    return [b"ID,p_a,p_b,kind\nx,0.5,0.5,spiral\n../y,1,0,\n", b'\xef\xbb\xbf# words\n"ID",p_a,p_b,kind\n"a ""b""",nan,1e400,q\n\n']


def read_label_file(data: bytes, folder: Path) -> object:
    path = written(folder, "labels.csv", data)
    (folder / "images").mkdir(exist_ok=True)
    try:
        read_labels(path, ["p_a", "p_b"])
    except TuningforkError:
        pass
    for task, chosen in (("fractions", {"targets": ["p_a", "p_b"]}), ("classes", {"targets": ["spiral", "q"], "class_column": "kind"})):
        try:
            read_folder(folder / "images", path, task=task, id_column="ID", **chosen)
        except TuningforkError:
            pass
    return read_table(path, "csv")


TEXT_WORDS = (b"\0", b'"', b'""', b",", b"\r\n", b"\n\n", b"#Table2\n", b"nan", b"inf", b"1e999", b"9" * 400, b"../", b"\xff\xfe", "ſ".encode(), b"ID", b"#")


# FITS


def fits_bytes(data: np.ndarray, **cards: object) -> bytes:
    out = io.BytesIO()
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(cards)
    hdu.writeto(out)
    return out.getvalue()


def cutout_seeds() -> list[bytes]:
    planes = np.arange(3 * 16 * 16, dtype=np.float32).reshape(3, 16, 16)
    return [fits_bytes(planes, BANDS="grz", SURVEY="LegacySurvey", VERSION="9"), fits_bytes(planes[0], BANDS="g")]


def read_fits_cutout(data: bytes, folder: Path) -> object:
    return read_cutout(written(folder, "cutout.fits", data), FITS_SPEC, 0.262)


def card(text: str) -> bytes:
    return text.ljust(80).encode("latin-1")


FITS_WORDS = (
    *(card(f"{key:<8}= {value:>20}") for key, value in (
        ("NAXIS", 999), ("NAXIS", 2), ("NAXIS", -1), ("NAXIS", "T"), ("NAXIS1", 10**12), ("NAXIS1", -5), ("NAXIS1", 0), ("NAXIS2", 10**18), ("NAXIS3", 10**15),
        ("BITPIX", 7), ("BITPIX", -64), ("BITPIX", 0), ("PCOUNT", -700), ("GCOUNT", 0), ("GCOUNT", 10**9), ("BSCALE", "'x'"), ("BZERO", "1E999"),
        ("BLANK", "T"),
        ("GROUPS", "T"), ("EXTEND", "F"), ("SIMPLE", "F"), ("ZIMAGE", "T"), ("TFIELDS", 999), ("TFORM1", "'99999999999E'"), ("TFORM1", "'PJ(999999)'"),
        ("NAXIS1", "9" * 18), ("CRVAL1", "'x'"), ("CTYPE1", "'RA---XXX'"), ("CD1_1", "NaN"), ("LONGSTRN", "'OGIP'"), ("THEAP", -5), ("TDIM1", "'(9,99999)'"),
    )),
    card("END"), card("CONTINUE  'x&'"), card("HIERARCH a b = 1"), card("\xff\xfe"), b"\0" * 80,
)  # fmt: skip


def mosaic_seeds() -> list[bytes]:
    place = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 4.5, "CRPIX2": 4.5, "CRVAL1": 53.1, "CRVAL2": -27.8}
    place |= {"CD1_1": -1.8e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1.8e-5, "ABMAGZP": 25.9}
    scaled = fits.PrimaryHDU(np.arange(64, dtype=np.int16).reshape(8, 8))
    return [fits_bytes(np.ones((8, 8), np.float32), **place), fits_bytes(scaled.data, **place, BLANK=3)]


def read_mosaic(data: bytes, folder: Path) -> object:
    mosaic = Mosaic(written(folder, "mosaic.fits", data))
    return mosaic.pixels.windows(np.array([0, -2]), np.array([1, 3]), np.empty((2, 4, 4), np.float32)), mosaic.rotation_deg


def fits_table_seeds() -> list[bytes]:
    out = io.BytesIO()
    columns = [fits.Column("id", "8A", array=["x", "y"]), fits.Column("n", "J", array=[1, -9], null=-9), fits.Column("v", "PE()", array=[[1.0], [2.0, 3.0]])]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(out)
    return [out.getvalue()]


def read_fits_table(data: bytes, folder: Path) -> object:
    path = written(folder, "table.fits", data)
    checks.simulated_mark(path)
    return read_table(path, "fits")


def parquet_seeds() -> list[bytes]:
    out = io.BytesIO()
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": ["x", None], "n": [1, 2], "t": pa.array([1, 2], pa.timestamp("s")), "l": [[1], []]}), out)
    return [out.getvalue()]


def read_parquet(data: bytes, folder: Path) -> object:
    return read_table(written(folder, "table.parquet", data), "parquet")


def ecsv_seeds() -> list[bytes]:
    return [
        b"# %ECSV 1.0\n# ---\n# datatype:\n# - {name: a, datatype: int64}\n# - {name: b, datatype: string, subtype: json}\n# schema: astropy-2.0\na b\n1 [1]\n"
    ]


def read_ecsv(data: bytes, folder: Path) -> object:
    return read_table(written(folder, "table.ecsv", data), "ecsv")


ECSV_WORDS = (
    b"!!python/object/apply:os.system [id]",
    b"datatype: object",
    b"meta: !!omap",
    b"serialized_columns:",
    b"__class__: astropy.time.Time",
    b"&a [*a]",
)


# Pictures


def picture_seeds() -> list[bytes]:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    made = []
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"):
        out = io.BytesIO()
        image.save(out, kind)
        made.append(out.getvalue())
    return made


def read_pictures(data: bytes, folder: Path) -> object:
    names = ["a.jpg", "a.png"]
    return import_pictures([written(folder, name, data) for name in names], names, channels=3, pixels=8)


def read_fits_pictures(data: bytes, folder: Path) -> object:
    return import_pictures([written(folder, "a.fits", data), written(folder, "a.fits.gz", data)], ["a", "b"], channels=1, pixels=8)


def read_jpeg_cutout(data: bytes, folder: Path) -> object:
    return read_cutout(written(folder, "cutout.jpg", data), JPEG_SPEC, 0.396)


PICTURE_WORDS = (
    b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03", b"\xff\xd9", b"\xff\xda", b"\xff\xe1", b"IHDR\xff\xff\xff\xff\xff\xff\xff\xff",
    b"IHDR\x00\x00\xff\xff\x00\x00\xff\xff",
    b"acTL", b"zTXt", b"iCCP", b"IDAT", b"tEXt", b"Exif\0\0", b"II*\0", b"GIF89a", b"\xff" * 4, b"VP8X",
)  # fmt: skip


# Configuration


def yaml_seeds() -> list[bytes]:
    paths = [REPOSITORY / "config" / "config.yaml", *sorted((REPOSITORY / "config" / "papers").glob("*.yaml"))[:3]]
    return [path.read_bytes() for path in paths]


def read_yaml(data: bytes, folder: Path) -> object:
    from tuningfork.config import read_yaml as read

    path = written(folder, "config.yaml", data)
    return load(read(path), [path], REPOSITORY / "config" / "recipes")


YAML_WORDS = (b"&a ", b"*a", b"<<: *a", b"!!python/object:os.system", b"!!binary x", b"!!set", b"- ", b": ", b"{", b"[", b"null", b".nan", b".inf",
b"2001-01-01",
              b"? [a]\n: b", b"token: x", b"0x", b"9" * 400, b"\t", b"%YAML 9.9\n", b"---\n", b"1: 2\n", b"\xef\xbb\xbf", b"~")  # fmt: skip


# Weights and stamps


@functools.cache
def network() -> object:
    from tuningfork.networks.registry import build

    return build("deep-clash", in_channels=1, n_outputs=2, image_size=80, width=0.1, seed=1)


def weights_seeds() -> list[bytes]:
    from safetensors.torch import save

    return [save(network().state_dict(), metadata={"format": "pt"})]


def read_weights(data: bytes, folder: Path) -> object:
    from tuningfork.networks import weights
    from tuningfork.networks.pretrained import fit_tensors

    tensors = weights.read_weights(written(folder, "w.safetensors", data))
    return fit_tensors(network(), tensors, "w.safetensors")


WEIGHTS_WORDS = (b'"dtype":"F8_E4M3"', b'"dtype":"BOOL"', b'"dtype":"I64"', b'"shape":[18446744073709551615]', b'"shape":[]', b"\0" * 8, b"\xff" * 8,
                 b'"data_offsets":[0,0]', b"__metadata__", b"\x80\x04cposix\nsystem\n")  # fmt: skip


@functools.cache
def shard_seeds() -> list[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "s.arrow")
        ids = np.array(["a", "ü"])
        write_shard(
            path,
            StampShard(
                ids, np.array(["ok", "failed"]), np.array(["", "no"]), np.stack([np.ones((1, 4, 4)), np.zeros((1, 4, 4))]).astype(np.float32), {"z": np.ones(2)}
            ),
        )
        return [path.read_bytes()]


def read_stamps(data: bytes, folder: Path) -> object:
    return read_shard(written(folder, "s.arrow", data), verify=False)


def hdf5_seeds() -> list[bytes]:
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("images", data=np.zeros((2, 256, 256, 3), np.uint8), compression="gzip", chunks=(1, 256, 256, 3))
        for name in ("ans", "ra", "dec", "redshift", "pxscale"):
            file.create_dataset(name, data=np.arange(2.0))
    return [out.getvalue()]


def read_hdf5(data: bytes, folder: Path) -> object:
    path = written(folder, "g.h5", data)
    return read_coordinates(path), read_images(path, [1, 0])


# HTTP


def multipart_seeds() -> list[bytes]:
    body = b"--B\r\nContent-Type: x\r\nContent-Range: bytes 0-3/20\r\n\r\nabcd\r\n--B\r\nContent-Range: bytes 8-9/20\r\n\r\nij\r\n--B--\r\n"
    return [b"multipart/byteranges; boundary=B\nbytes 0-3/20\n" + body, b'multipart/byteranges; boundary="B"\n\n' + body, b"image/fits\nbytes 2-5/9\ncdef"]


def read_multipart(data: bytes, folder: Path) -> object:
    kind, _, rest = data.partition(b"\n")
    content_range, _, body = rest.partition(b"\n")
    headers = {"content-type": kind.decode("latin-1"), "content-range": content_range.decode("latin-1")}
    pause_asked(429, {"Retry-After": headers["content-range"], "X-RateLimit-Reset": headers["content-type"]})
    from tuningfork.archives import download

    download._length({"content-length": headers["content-range"]})
    download._continues(headers, 0, SimpleNamespace(total=20, validator=None))
    return multipart.read_pieces(headers, body)


HTTP_WORDS = (
    b"bytes 0-3/20",
    b"bytes 0-3/" + b"9" * 5000,
    "²".encode("latin-1"),
    b"9" * 400,
    b"Wed, 99 Foo 9999 99:99:99 GMT",
    b"--B",
    b"--B--",
    b"\r\n\r\n",
    b"boundary=",
    b"Content-Range:",
)


def published_seeds() -> list[bytes]:
    return ["x\0y\x07<script>\n&amp;\n../é\n=1+1\n]]>".encode(), b"a" * 300 + b"\n"]


def write_and_read(data: bytes, folder: Path) -> object:
    """A VOTable of ours that holds these texts is XML, and gives them back."""
    from tuningfork.publishing.columns import printable

    texts = [printable(text) for text in data.decode("utf-8", "replace").split("\n")]
    table = Table({"text": np.array(texts, dtype=str), "n": MaskedColumn(np.arange(len(texts)))})
    write_votable(table, folder / "out.vot", name="t")
    ((_, back),) = read_tables(folder / "out.vot")
    assert back["text"].tolist() == texts, (back["text"].tolist(), texts)
    return back


TARGETS: dict[str, Target] = {
    "votable": Target(read_votable, votable_seeds, VOTABLE_WORDS),
    "skyserver_csv": Target(read_skyserver, skyserver_seeds, TEXT_WORDS),
    "molino_text": Target(read_molino, lambda: [molino_text()], TEXT_WORDS),
    "label_csv": Target(read_label_file, label_seeds, TEXT_WORDS),
    "fits_cutout": Target(read_fits_cutout, cutout_seeds, FITS_WORDS),
    "jpeg_cutout": Target(read_jpeg_cutout, picture_seeds, PICTURE_WORDS),
    "mosaic": Target(read_mosaic, mosaic_seeds, FITS_WORDS),
    "fits_table": Target(read_fits_table, fits_table_seeds, FITS_WORDS),
    "parquet": Target(read_parquet, parquet_seeds, (b"\xff" * 4, b"\0" * 4, b"PAR1")),
    "ecsv": Target(read_ecsv, ecsv_seeds, ECSV_WORDS),
    "pictures": Target(read_pictures, picture_seeds, PICTURE_WORDS),
    "fits_pictures": Target(read_fits_pictures, cutout_seeds, FITS_WORDS),
    "yaml": Target(read_yaml, yaml_seeds, YAML_WORDS),
    "weights": Target(read_weights, weights_seeds, WEIGHTS_WORDS),
    "stamps": Target(read_stamps, shard_seeds, (b"\xff" * 8, b"\0" * 8, b"arrow.fixed_shape_tensor", b'{"shape":[1,9999,4]}', b"ARROW1")),
    "hdf5": Target(read_hdf5, hdf5_seeds, (b"\xff" * 8, b"\0" * 8, b"TREE", b"SNOD", b"HEAP")),
    "multipart": Target(read_multipart, multipart_seeds, HTTP_WORDS),
    "published_votable": Target(write_and_read, published_seeds, TEXT_WORDS),
}
"""The readers by name."""
