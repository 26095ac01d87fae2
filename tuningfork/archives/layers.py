"""The layers of the DESI Legacy Imaging Surveys viewer: native pixel, bands, units, and what a reply of each says of itself.

One table, so that a layer that is missing or wrong is one line to mend. Names, native pixels, bands, calibrations and SURVEY are those of
the viewer's server source (``legacysurvey/imagine``, ``map/views.py``; reference/archives.md, 4), except where a line says otherwise.
"""

import dataclasses
import difflib
import functools
from types import MappingProxyType

from tuningfork.errors import ArchiveError

AB_UNIT = "nanomaggy/arcsec^2"
VEGA_UNIT = "nanomaggy/arcsec^2 (Vega)"
UNCALIBRATED_UNIT = "uncalibrated/arcsec^2"


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of the viewer.

    Attributes
    ----------
    name
        As the viewer calls it.
    native_arcsec
        Side of the layer's own pixel, in arcseconds: the pixel that the viewer's fluxes belong to, whatever scale is asked.
    bands
        Bands, in the order in which the viewer has them. Each is asked by its letter (see `letter`).
    unit
        Unit of the surface brightness that `surface_brightness` makes of a FITS cutout's values.
    zero_point
        Magnitude of a source whose value is 1 in a FITS cutout; 22.5 for nanomaggies.
    survey
        Value of the card SURVEY, where it is known; '' else.
    version
        Value of the card VERSION of an unblended release, where it is known; '' else.
    """

    name: str
    native_arcsec: float
    bands: tuple[str, ...]
    unit: str = AB_UNIT
    zero_point: float = 22.5
    survey: str = ""
    version: str = ""

    @property
    def surface_brightness(self) -> float:
        """What turns a value of a FITS cutout into `unit`: nanomaggies per value, over the area of a native pixel."""
        return float(10 ** (0.4 * (22.5 - self.zero_point)) / self.native_arcsec**2)

    def letter(self, band: str) -> str:
        """How the viewer's `bands` parameter and BANDS card spell a band: ``w1`` is ``1``, all others are their own name."""
        return band[1:] if self.unit == VEGA_UNIT and len(band) == 2 and band.startswith("w") else band


def _legacy(release: str, bands: str, parts: tuple[str, ...]) -> list[Layer]:
    layers = [Layer(f"ls-{release}", 0.262, tuple(bands))]
    # Only VERSION = DR9-south was seen; the others follow its pattern.
    layers += [Layer(f"ls-{release}-{part}", 0.262, tuple(bands), version=f"{release.upper()}-{part}" if part in ("north", "south") else "") for part in parts]
    return layers


def _with_models(layers: list[Layer]) -> list[Layer]:
    # Whether the model's VERSION says more than the image's was not seen, so it is not judged.
    return [
        dataclasses.replace(layer, name=layer.name + tail, version=layer.version if not tail else "") for layer in layers for tail in ("", "-model", "-resid")
    ]


_ALL = [
    *_with_models(_legacy("dr8", "grz", ("north", "south", "mid"))),
    *_with_models(_legacy("dr9", "grz", ("north", "south", "mid"))),
    *_with_models(_legacy("dr10", "griz", ("south", "grz", "gri"))),
    # DR11's parts and bands are from memory.
    *_with_models(_legacy("dr11", "griz", ("north", "south"))),
    *_with_models([Layer("decals-dr5", 0.262, ("g", "r", "z")), Layer("decals-dr7", 0.262, ("g", "r", "z")), Layer("mzls+bass-dr6", 0.262, ("g", "r", "z"))]),
    Layer("des-dr1", 0.263, ("g", "r", "z"), survey="DES", version="DR1"),
    # The viewer passes HSC's own calibration on, and divides by it for its pictures only; it writes neither SURVEY nor VERSION.
    Layer("hsc-dr2", 0.168, ("g", "r", "z"), zero_point=27.0),
    Layer("hsc-dr3", 0.168, ("g", "r", "z"), zero_point=27.0),
    Layer("sdss", 0.396, ("g", "r", "i"), survey="SDSS"),
    # That the viewer's Pan-STARRS values are nanomaggies is not known.
    Layer("ps1", 0.25, ("g", "r", "i"), unit=UNCALIBRATED_UNIT, survey="PS1"),
    # The viewer passes the unWISE coadds on as they are; their Vega zero point is 22.5 (Lang 2014, AJ 147, 108).
    *(Layer(f"unwise-neo{number}", 2.75, ("w1", "w2"), unit=VEGA_UNIT, survey="unWISE") for number in range(2, 12)),
    Layer("unwise-w1w2", 2.75, ("w1", "w2"), unit=VEGA_UNIT, survey="unWISE"),
    # What the viewer's GALEX values are (counts a second with zero points of their own, or nanomaggies) is not known.
    Layer("galex", 1.5, ("n", "f"), unit=UNCALIBRATED_UNIT, survey="GALEX"),
]

LAYERS = MappingProxyType({layer.name: layer for layer in _ALL})
"""The layers by the viewer's own name."""

ALIASES = MappingProxyType(
    {"sdss2": "sdss", "sdssco": "sdss", "hsc": "hsc-dr2", "hsc2": "hsc-dr2", **{name.removeprefix("ls-"): name for name in LAYERS if name.startswith("ls-dr8")}}
)
"""Other name -> the viewer's own."""


@functools.cache
def layer_named(name: str) -> Layer:
    """The layer that a name or an alias means.

    Raises
    ------
    ArchiveError
        There is no such layer here; the message has the nearest names. The viewer itself would answer ``no such layer``, with HTTP 200.
    """
    known = ALIASES.get(name, name)
    if known not in LAYERS:
        near = difflib.get_close_matches(name, [*LAYERS, *ALIASES], n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(n for n in LAYERS if not n.endswith(('-model', '-resid')))}"
        raise ArchiveError(f"the Legacy Surveys viewer has no layer {name!r} that is known here; {hint}")
    return LAYERS[known]


@functools.cache
def band_letters(layer: Layer, bands: tuple[str, ...]) -> str:
    """The `bands` parameter for some bands of a layer.

    Parameters
    ----------
    layer
        The layer.
    bands
        Bands by name, such as ``("g", "r", "z")`` or ``("w1", "w2")``; letters of the viewer (``1``) are taken too.

    Raises
    ------
    ArchiveError
        A band is not the layer's, or stands twice: the viewer would silently give its default bands instead.
    """
    known = {layer.letter(band) for band in layer.bands}
    letters = [layer.letter(band.lower()) for band in bands]
    if not letters or len(set(letters)) < len(letters):
        raise ArchiveError(f"bands {', '.join(bands) or 'none'} of layer {layer.name}: name each band once, from {', '.join(layer.bands)}")
    if strange := [band for band, letter in zip(bands, letters, strict=True) if letter not in known]:
        raise ArchiveError(f"layer {layer.name} has no band {', '.join(map(repr, strange))}; it has {', '.join(layer.bands)}")
    return "".join(letters)
