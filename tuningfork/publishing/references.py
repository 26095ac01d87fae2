"""BibTeX of the papers, archives and software that a product builds on."""

from collections.abc import Iterable, Mapping
from importlib import metadata

from tuningfork.errors import TuningforkError


def _article(key: str, author: str, title: str, journal: str, year: int, volume: int | str, pages: str, doi: str = "", eprint: str = "") -> str:
    fields = {
        "author": author,
        "title": f"{{{title}}}",
        "journal": journal,
        "year": str(year),
        "volume": str(volume),
        "pages": pages,
        "doi": doi,
        "eprint": eprint,
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
    return f"@article{{{key},\n" + ",\n".join(lines) + "\n}"


ENTRIES: dict[str, str] = {
    "PerezCarrasco2019": _article(
        "PerezCarrasco2019",
        r"{P{\'e}rez-Carrasco}, M. and {Cabrera-Vives}, G. and {Martinez-Marin}, M. and {Cerulo}, P. and {Demarco}, R. and {Protopapas}, P. and {Godoy}, J. "
        r"and {Huertas-Company}, M.",
        "Multiband Galaxy Morphologies for CLASH: A Convolutional Neural Network Transferred from CANDELS",
        "Publications of the Astronomical Society of the Pacific",
        2019,
        131,
        "108002",
        "10.1088/1538-3873/aaeeb4",
        "1810.07857",
    ),
    "Kartaltepe2015": _article(
        "Kartaltepe2015",
        "{Kartaltepe}, J. S. and others",
        "CANDELS Visual Classifications: Scheme, Data Release, and First Results",
        "The Astrophysical Journal Supplement Series",
        2015,
        221,
        "11",
        "10.1088/0067-0049/221/1/11",
    ),
    "Guo2013": _article(
        "Guo2013",
        "{Guo}, Y. and others",
        "CANDELS Multi-wavelength Catalogs: Source Detection and Photometry in the GOODS-South Field",
        "The Astrophysical Journal Supplement Series",
        2013,
        207,
        "24",
        "10.1088/0067-0049/207/2/24",
    ),
    "Molino2017": _article(
        "Molino2017",
        r"{Molino}, A. and {Ben{\'\i}tez}, N. and {Ascaso}, B. and {Coe}, D. and {Postman}, M. and others",
        "CLASH: Accurate Photometric Redshifts with 14 HST bands in Massive Galaxy Cluster Cores",
        "Monthly Notices of the Royal Astronomical Society",
        2017,
        470,
        "95",
        "10.1093/mnras/stx1243",
        "1705.02265",
    ),
    "Postman2012": _article(
        "Postman2012",
        "{Postman}, M. and {Coe}, D. and {Ben{\\'\\i}tez}, N. and {Bradley}, L. and {Broadhurst}, T. and others",
        "The Cluster Lensing and Supernova Survey with Hubble: An Overview",
        "The Astrophysical Journal Supplement Series",
        2012,
        199,
        "25",
        "10.1088/0067-0049/199/2/25",
    ),
    "Grogin2011": _article(
        "Grogin2011",
        "{Grogin}, N. A. and others",
        "CANDELS: The Cosmic Assembly Near-infrared Deep Extragalactic Legacy Survey",
        "The Astrophysical Journal Supplement Series",
        2011,
        197,
        "35",
        "10.1088/0067-0049/197/2/35",
    ),
    "Koekemoer2011": _article(
        "Koekemoer2011",
        "{Koekemoer}, A. M. and others",
        "CANDELS: The Cosmic Assembly Near-infrared Deep Extragalactic Legacy Survey - "
        "The Hubble Space Telescope Observations, Imaging Data Products, and Mosaics",
        "The Astrophysical Journal Supplement Series",
        2011,
        197,
        "36",
        "10.1088/0067-0049/197/2/36",
    ),
    "Illingworth2016": _article(
        "Illingworth2016",
        "{Illingworth}, G. and others",
        "The Hubble Legacy Fields (HLF-GOODS-S) v1.5 Data Products: Combining 2442 Orbits of GOODS-S/CDF-S Region ACS and WFC3/IR Images",
        "arXiv e-prints",
        2016,
        "",
        "arXiv:1606.00841",
        "",
        "1606.00841",
    ),
    "WuBoada2019": _article(
        "WuBoada2019",
        "{Wu}, J. F. and {Boada}, S.",
        "Using convolutional neural networks to predict galaxy metallicity from three-colour images",
        "Monthly Notices of the Royal Astronomical Society",
        2019,
        484,
        "4683",
        "10.1093/mnras/stz333",
        "1810.12913",
    ),
    "Tanoglidis2021": _article(
        "Tanoglidis2021",
        r"{Tanoglidis}, D. and {{\'C}iprijanovi{\'c}}, A. and {Drlica-Wagner}, A.",
        "DeepShadows: Separating low surface brightness galaxies from artifacts using deep learning",
        "Astronomy and Computing",
        2021,
        35,
        "100469",
        "10.1016/j.ascom.2021.100469",
        "2011.12437",
    ),
    "Brinchmann2004": _article(
        "Brinchmann2004",
        r"{Brinchmann}, J. and others",
        "The physical properties of star-forming galaxies in the low-redshift Universe",
        "Monthly Notices of the Royal Astronomical Society",
        2004,
        351,
        "1151",
        "10.1111/j.1365-2966.2004.07881.x",
    ),
    "Tremonti2004": _article(
        "Tremonti2004",
        r"{Tremonti}, C. A. and others",
        "The Origin of the Mass-Metallicity Relation: Insights from 53,000 Star-forming Galaxies in the Sloan Digital Sky Survey",
        "The Astrophysical Journal",
        2004,
        613,
        "898",
        "10.1086/423264",
    ),
    "Abolfathi2018": _article(
        "Abolfathi2018",
        r"{Abolfathi}, B. and others",
        "The Fourteenth Data Release of the Sloan Digital Sky Survey",
        "The Astrophysical Journal Supplement Series",
        2018,
        235,
        "42",
        "10.3847/1538-4365/aa9e8a",
    ),
    "TanoglidisDES2021": _article(
        "TanoglidisDES2021",
        r"{Tanoglidis}, D. and {Drlica-Wagner}, A. and {Wei}, K. and others",
        "Shadows in the Dark: Low-surface-brightness Galaxies Discovered in the Dark Energy Survey",
        "The Astrophysical Journal Supplement Series",
        2021,
        252,
        "18",
        "10.3847/1538-4365/abca89",
    ),
    "Abbott2018": _article(
        "Abbott2018",
        r"{Abbott}, T. M. C. and others",
        "The Dark Energy Survey: Data Release 1",
        "The Astrophysical Journal Supplement Series",
        2018,
        239,
        "18",
        "10.3847/1538-4365/aae9f0",
    ),
    "Greco2018": _article(
        "Greco2018",
        r"{Greco}, J. P. and others",
        "Illuminating Low Surface Brightness Galaxies with the Hyper Suprime-Cam Survey",
        "The Astrophysical Journal",
        2018,
        857,
        "104",
        "10.3847/1538-4357/aab842",
    ),
    "Aihara2019": _article(
        "Aihara2019",
        r"{Aihara}, H. and others",
        "Second data release of the Hyper Suprime-Cam Subaru Strategic Program",
        "Publications of the Astronomical Society of Japan",
        2019,
        71,
        "114",
        "10.1093/pasj/psz103",
    ),
    "Walmsley2022": _article(
        "Walmsley2022",
        r"{Walmsley}, M. and others",
        "Galaxy Zoo DECaLS: Detailed visual morphology measurements from volunteers and deep learning for 314 000 galaxies",
        "Monthly Notices of the Royal Astronomical Society",
        2022,
        509,
        "3966",
        "10.1093/mnras/stab2093",
    ),
    "Dey2019": _article(
        "Dey2019",
        r"{Dey}, A. and others",
        "Overview of the DESI Legacy Imaging Surveys",
        "The Astronomical Journal",
        2019,
        157,
        "168",
        "10.3847/1538-3881/ab089d",
    ),
    "Xu2023": _article(
        "Xu2023",
        r"{Xu}, Q. and others",
        "From images to features: unbiased morphology classification via variational auto-encoders and domain adaptation",
        "Monthly Notices of the Royal Astronomical Society",
        2023,
        526,
        "6391",
        "10.1093/mnras/stad3181",
        "2303.08627",
    ),
    "Walmsley2023": _article(
        "Walmsley2023",
        "{Walmsley}, M. and others",
        "Zoobot: Adaptable Deep Learning Models for Galaxy Morphology",
        "Journal of Open Source Software",
        2023,
        8,
        "5312",
        "10.21105/joss.05312",
    ),
    "Liu2022": _article(
        "Liu2022",
        "{Liu}, Z. and {Mao}, H. and {Wu}, C.-Y. and {Feichtenhofer}, C. and {Darrell}, T. and {Xie}, S.",
        "A ConvNet for the 2020s",
        "Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition",
        2022,
        "",
        "11966",
        "10.1109/CVPR52688.2022.01167",
        "2201.03545",
    ),
    "LeungBovy2019": _article(
        "LeungBovy2019",
        r"{Leung}, H. W. and {Bovy}, J.",
        "Deep learning of multi-element abundances from high-resolution spectroscopic data",
        "Monthly Notices of the Royal Astronomical Society",
        2019,
        483,
        "3255",
        "10.1093/mnras/sty3217",
    ),
    "Ochsenbein2000": _article(
        "Ochsenbein2000",
        "{Ochsenbein}, F. and {Bauer}, P. and {Marcout}, J.",
        "The VizieR database of astronomical catalogues",
        "Astronomy and Astrophysics Supplement Series",
        2000,
        143,
        "23",
        "10.1051/aas:2000169",
    ),
    "Astropy2022": _article(
        "Astropy2022",
        "{Astropy Collaboration}",
        "The Astropy Project: Sustaining and Growing a Community-oriented Open-source Project and the Latest Major Release (v5.0) of the Core Package",
        "The Astrophysical Journal",
        2022,
        935,
        "167",
        "10.3847/1538-4357/ac7c74",
    ),
    "Rowe2015": _article(
        "Rowe2015",
        "{Rowe}, B. T. P. and others",
        "GALSIM: The modular galaxy image simulation toolkit",
        "Astronomy and Computing",
        2015,
        10,
        "121",
        "10.1016/j.ascom.2015.02.002",
    ),
    "Molder2021": _article(
        "Molder2021",
        r"{M{\"o}lder}, F. and others",
        "Sustainable data analysis with Snakemake",
        "F1000Research",
        2021,
        10,
        "33",
        "10.12688/f1000research.29032.2",
    ),
}

DATA = {
    "molino2017": ("Molino2017", "Postman2012", "Ochsenbein2000"),
    "kartaltepe2015": ("Kartaltepe2015", "Grogin2011", "Koekemoer2011", "Ochsenbein2000"),
    "guo2013": ("Guo2013", "Grogin2011", "Koekemoer2011", "Ochsenbein2000"),
    "hlf": ("Illingworth2016",),
    "clash": ("Postman2012",),
    "sdss_galspec": ("Brinchmann2004", "Tremonti2004", "Abolfathi2018"),
    "mpa_jhu": ("Brinchmann2004", "Tremonti2004", "Abolfathi2018"),
    "des_lsbg": ("TanoglidisDES2021", "Abbott2018"),
    "deepshadows": ("TanoglidisDES2021", "Abbott2018"),
    "greco2018": ("Greco2018", "Aihara2019", "Ochsenbein2000"),
    "gz_decals": ("Walmsley2022", "Dey2019"),
    "galaxy10": ("LeungBovy2019", "Walmsley2022", "Dey2019"),
}
METHOD = {
    "molino2017": ("PerezCarrasco2019",),
    "sdss_galspec": ("WuBoada2019",),
    "mpa_jhu": ("WuBoada2019",),
    "deepshadows": ("Tanoglidis2021",),
    "greco2018": ("Tanoglidis2021",),
    "gz_decals": ("Xu2023",),
    "convnext": ("Liu2022",),
    "zoobot": ("Walmsley2023",),
}
"""The paper whose method a catalogue of that input follows, or whose network or first weights it uses."""
LAYERS = {"ls-": ("Dey2019",), "des-": ("Abbott2018",), "hsc-": ("Aihara2019",), "dr": ("Abolfathi2018",), "sdss": ("Abolfathi2018",)}
"""Image layers by the beginning of their names."""
SOFTWARE = ("Astropy2022", "Molder2021")
SIMULATION = ("Rowe2015",)


def keys_for(inputs: Iterable[str], methods: Iterable[str] = (), simulated: bool = False) -> list[str]:
    """Keys of the papers to cite: methods, then data, then software.

    `inputs` are names of catalogues and image sets (those without an entry are skipped: their origin is in the provenance). A simulated product
    cites no data, because it contains none, and the simulation's software instead.
    """
    keys = [key for name in methods for key in METHOD.get(name, ())]
    if simulated:
        keys += SIMULATION
    else:
        for name in inputs:
            keys += DATA.get(name) or next((found for start, found in LAYERS.items() if name.startswith(start)), ())
    return list(dict.fromkeys([*keys, *SOFTWARE]))


def bibtex(keys: Iterable[str]) -> str:
    """BibTeX of `keys` and of this software."""
    keys = list(keys)
    if unknown := [key for key in keys if key not in ENTRIES]:
        raise TuningforkError(f"no reference called {unknown[0]!r}; there are {', '.join(ENTRIES)}")
    version = metadata.version("tuningfork")
    own = f"@software{{tuningfork,\n  author = {{{{The tuningfork developers}}}},\n  title = {{tuningfork}},\n  version = {{{version}}}\n}}"
    return "\n\n".join([*(ENTRIES[key] for key in keys), own]) + "\n"


def credit(inputs: Mapping[str, object] | Iterable[str], simulated: bool = False) -> str:
    """The sentence that a table owes to its sources."""
    if simulated:
        return "SIMULATED: made from a simulated sky with tuningfork. These rows are not galaxies and must not be used as data."
    names = list(dict.fromkeys(inputs))
    sentences = ["Re-derived with tuningfork; not the published catalogue."]
    if names:
        sentences.append(f"Input: {', '.join(names)}.")
    if any("Ochsenbein2000" in DATA.get(name, ()) for name in names):
        sentences.append("This work made use of the VizieR catalogue access tool, CDS, Strasbourg, France (DOI 10.26093/cds/vizier).")
    return " ".join(sentences)
