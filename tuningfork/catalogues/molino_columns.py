"""The published quantities of Molino et al. (2017) and their spellings on MAST and on VizieR."""

from typing import NamedTuple

from tuningfork.catalogues import columns as common


class Source(NamedTuple):
    """One published quantity: its spelling on MAST and on VizieR, unit, UCD and meaning."""

    mast: str
    vizier: str
    unit: str | None
    ucd: str
    description: str


SOURCES: dict[str, Source] = {
    "catalogue_id": Source("CLASHID", "CLASHID", *common.COLUMNS["catalogue_id"]),
    "ra": Source("RA", "RAJ2000", *common.COLUMNS["ra"]),
    "dec": Source("Dec", "DEJ2000", *common.COLUMNS["dec"]),
    "x_pix": Source("x", "Xpos", *common.COLUMNS["x_pix"]),
    "y_pix": Source("y", "Ypos", *common.COLUMNS["y_pix"]),
    "area": Source("area", "Area", "pix2", "phys.angArea", "Isophotal area"),
    "fwhm": Source("fwhm", "FWHM", "pix", "phys.angSize;src", "Full width at half maximum on the detection image (published as arcsec; the values are pixels)"),
    "s2n": Source("s2n", "s2n", None, "stat.snr", "Signal-to-noise ratio (FLUX_AUTO over its error)"),
    "phot_flag": Source("photoflag", "photFlag", None, "meta.code.qual", "SExtractor flag"),
    "nf_obs": Source("nfobs", "nfobs", None, "meta.number", "Number of filters observed"),
    "nf_det": Source("nfdet", "nfdet", None, "meta.number", "Number of filters detected"),
    "ps": Source("PointS", "PS", None, "src.class.starGalaxy", "0 extended, 1 point-like"),
    "theta": Source("theta", "theta", "deg", "pos.posAng", "Position angle of the major axis, counter-clockwise from x"),
    "a_pix": Source("a", "a", "pix", "phys.angSize.smajAxis;src", "Profile rms along the major axis"),
    "b_pix": Source("b", "b", "pix", "phys.angSize.sminAxis;src", "Profile rms along the minor axis"),
    "background": Source("Backg", "Backg", None, "instr.background", "Background subtracted on the detection image"),
    "rf": Source("rf", "rf", "pix", "phys.angSize;src", "Radius of half the light"),
    "rk": Source("rk", "rk", None, "phys.angSize;src", "Kron aperture in units of a or b"),
    "rp": Source("rp", "rp", None, "phys.angSize;src", "SExtractor PETRO_RADIUS, in units of a"),
    "bcg_x_pix": Source("BCG_pos_RA", "RABdeg", "pix", "pos.cartesian.x", "X of the brightest cluster galaxy on the mosaic (published as degrees)"),
    "bcg_y_pix": Source("BCG_pos_Dec", "DEBdeg", "pix", "pos.cartesian.y", "Y of the brightest cluster galaxy on the mosaic (published as degrees)"),
    "bcg_distance_mpc": Source("PhyDistBCG", "PDistBCG", "Mpc", "pos.distance", "Projected distance from the brightest cluster galaxy"),
    "z_cluster": Source("clusterz", "zCluster", None, "src.redshift", "Redshift of the cluster"),
    "zb": Source("zb_1", "zb1", None, "src.redshift.phot", "Photometric redshift, first peak"),
    "zb_min": Source("zb_Min_1", "e_zb1", None, "src.redshift.phot;stat.min", "Lower limit of zb (95 %)"),
    "zb_max": Source("zb_Max_1", "E_zb1", None, "src.redshift.phot;stat.max", "Upper limit of zb (95 %)"),
    "tb": Source("Tb_1", "Tb1", None, "src.spType", "Most likely spectral type"),
    "odds": Source("Odds_1", "Odds1", None, "stat.probability", "P(z) within 2 x 0.03 (1 + zb) of zb"),
    "chi2": Source("Chi2", "Chi2", None, "stat.fit.chi2", "Poorness of the photometric-redshift fit"),
    "mag_abs_b": Source("MB_sDSS", "BMAG", "mag", "phot.mag;phys.magAbs;em.opt.B", "Absolute B magnitude (AB)"),
    "log_mass": Source("Stell_Mass", "logM*", None, "phys.mass", "log10 of the stellar mass in solar masses"),
    "mag_mass_f814w_delensed": Source("F814W_ACS_MASS_LensCor", "F814W", "mag", "phot.mag;em.opt.I", "F814W moderated magnitude, delensed (a model)"),
    "mag_abs_b_delensed": Source("MB_sDSS_LensCor", "BMAGLC", "mag", "phot.mag;phys.magAbs;em.opt.B", "Absolute B magnitude, delensed (a model)"),
    "log_mass_delensed": Source("Stell_Mass_LensCor", "logM*LC", None, "phys.mass", "log10 of the stellar mass in solar masses, delensed (a model)"),
    "zspec": Source("SpeczValue", "zsp", None, "src.redshift", "Spectroscopic redshift"),
    "zspec_ref": Source("SpeczRefer", "r_zsp", None, "meta.ref", "Reference of zspec"),
    "zspec_quality": Source("SpeczQual", "q_zsp", None, "meta.code.qual", "0 secure, 1 likely, 2 unsure"),
}
TEXT = ("catalogue_id", "zspec_ref")
MAST_ALIASES = {"MB_sDSS": ("MB",), "MB_sDSS_LensCor": ("MB_LensCor",), "PointS": ("PointSource",)}
